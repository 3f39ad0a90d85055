//! The whole program: reads the configuration, listens, and drains at shutdown.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_config::{Available, Config};
use tunnel_balancer_core::{Clock as _, Reason, Services};
use tunnel_balancer_state::control::{Token, Tokens};
use tunnel_balancer_tokio::TokioClock;

use crate::config_diff;
use crate::config_file::{ConfigError, ConfigFile};
use crate::connections::Connections;
use crate::control::admin::Admin;
use crate::control::{Controller, Stored};
use crate::descriptors::{self, Shares};
use crate::listener::{Acceptor, listen};
use crate::log::{self, LogWriter};
use crate::notifier::Notifier;
use crate::options::{Options, Protocol};
use crate::proxy::Proxy;
use crate::rejections::Rejections;
use crate::shared_health::{Link, PushTarget, SharedHealth};
use crate::signals::{Shutdown, Signal};
use crate::status_endpoint::StatusEndpoint;
use crate::tls::Certificates;

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration file is invalid: its diagnostics.
    #[error("{0}")]
    Configuration(String),
    /// The configuration file, or a file that it names, cannot be read.
    #[error("{0}")]
    File(String),
    /// An address is in use or unavailable.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The certificate or the key is invalid.
    #[error("{0}")]
    Tls(String),
    /// Another error of the operating system.
    #[error("{0}: {1}")]
    Os(&'static str, std::io::Error),
}

impl StartError {
    /// The root certificates of the machine cannot be read.
    pub(crate) const fn no_roots(error: std::io::Error) -> Self {
        Self::Os("cannot read the root certificates of the machine", error)
    }
}

/// Serves until SIGTERM or SIGINT, then drains the requests in flight. A second signal aborts them.
/// SIGHUP reloads the configuration and the certificates. SIGUSR1 releases the traffic that
/// `failback: manual` holds back. On Windows, Ctrl-C ends it, and files are reloaded when they
/// change.
///
/// Requests are written to `access_log`. Events are emitted through `tracing`: see
/// [`LogLayer`](crate::LogLayer), whose output is `log`. Both are flushed at the end.
///
/// # Errors
/// If it cannot start. Later errors are logged.
pub async fn serve(options: Options, log: LogWriter, access_log: Option<LogWriter>) -> Result<(), StartError> {
    let logs = [Some(log), access_log.clone()];
    let (mut file, read) = open_config(&options.file)?;
    let (mut certificates, tls) = Certificates::open(options.tls).map_err(StartError::Tls)?;
    descriptors::raise_limit();
    let (mut reload, mut failback) = (Signal::reload()?, Signal::failback()?);
    let mut shutdown = Shutdown::new()?;
    let mut listeners = Vec::new();
    for listener in &options.listen {
        let (address, protocol) = (listener.address, listener.protocol);
        let socket = listen(address).map_err(|error| StartError::Listen(address, error))?;
        let address = socket.local_addr().map_err(|error| StartError::Listen(address, error))?;
        listeners.push((socket, address, protocol));
    }
    let admin_listener = match options.admin.as_ref().map(|admin| admin.address) {
        Some(address) => {
            if !address.ip().is_loopback() && options.admin.as_ref().is_some_and(|admin| admin.token.is_none()) {
                let error = format!("the admin listener on {address} needs a token, or an address of loopback");
                return Err(StartError::File(error));
            }
            let socket = listen(address).map_err(|error| StartError::Listen(address, error))?;
            let address = socket.local_addr().map_err(|error| StartError::Listen(address, error))?;
            Some((socket, address))
        }
        None => None,
    };
    let https = listeners.iter().find(|(_, _, protocol)| *protocol == Protocol::Https);
    let https_port = https.map_or(443, |(_, address, _)| address.port());
    let stored = Stored::open(options.state_file.as_deref()).map_err(StartError::File)?;
    let seed = fastrand::u64(..);
    let changed = stored.apply(&read.config.services, TokioClock::new().unix_time());
    let services = Services::new(changed, seed).with_missing_secrets(&read.without_secrets);
    let proxy =
        Proxy::new(services, options.trusted.clone(), options.limits, access_log).map_err(StartError::no_roots)?;
    let proxy = Arc::new(proxy);
    log::config_loaded(&file, &proxy.services(), concat!("tunnel-balancer ", env!("CARGO_PKG_VERSION")));
    log::missing_secrets(&file, &read.without_secrets, read.errors.as_ref());
    log::targets_without_secrets(&file, &read.notify_without_secrets, read.errors.as_ref());
    log::status_without_secret(&file, read.status_without_secret, read.errors.as_ref());
    let shared_health = share_health(options.monitor, &proxy)?;
    let Shares { connections, .. } = proxy.shares();
    if connections < options.limits.connections.min(FEW_CONNECTIONS) {
        let descriptors = descriptors::soft_limit();
        let detail = format!("at most {connections} connections: this process may have {descriptors} open files");
        log::option_limited("--max-connections", &detail);
    }
    let per_client = options.limits.connections_per_client.unwrap_or(CONNECTIONS_PER_CLIENT);
    let token = options.admin.as_ref().and_then(|admin| admin.token.clone());
    let tokens = |config: &Config| {
        let status = config.status.as_ref().and_then(|status| Token::new(status.token.as_ref()?).ok());
        Tokens::new(options.admin.as_ref().and_then(|admin| admin.token.clone()), status)
    };
    proxy.set_tokens(tokens(&read.config));
    let (status, mut views) = StatusEndpoint::new(read.config.status.as_ref(), token.clone(), proxy.clock);
    let acceptor = Arc::new(Acceptor {
        proxy: Arc::clone(&proxy),
        status: Arc::clone(&status),
        limits: options.limits,
        tls: RwLock::new(tls),
        https_port,
        public_scheme: options.public_scheme,
        connections: Connections::new(per_client, connections),
        permits: Arc::new(Semaphore::new(connections)),
        rejections: Rejections::default(),
        closing: CancellationToken::new(),
        stop: CancellationToken::new(),
    });

    // Both observe the first request.
    let mut controller = Controller::new(&proxy, stored, read.config.services, read.without_secrets);
    let mut notifier = Notifier::start(&proxy, read.config.notify, controller.sections())
        .map_err(|error| StartError::Os("cannot read the root certificates of the machine", error))?;
    let mut accepting = JoinSet::new();
    let (admin, mut requests) = Admin::new(token, Arc::clone(&status), proxy.clock);
    for (listener, address, protocol) in listeners {
        log::listening(address, protocol.scheme());
        accepting.spawn(Arc::clone(&acceptor).accept(listener, protocol));
    }
    if let Some((listener, address)) = admin_listener {
        log::admin_listening(address);
        tokio::spawn(Arc::clone(&admin).accept(listener, Arc::clone(&acceptor)));
    }
    let mut poll = tokio::time::interval(ConfigFile::POLL_INTERVAL);
    loop {
        let read = tokio::select! {
            () = shutdown.requested() => break,
            _ = poll.tick() => {
                acceptor.rejections.emit();
                acceptor.apply(certificates.poll(), &certificates);
                controller.tick().await;
                notifier.announce(controller.take_notices());
                file.poll()
            }
            Some(pending) = requests.recv() => {
                controller.handle(pending).await;
                notifier.announce(controller.take_notices());
                None
            }
            Some(viewing) = views.recv() => {
                controller.show(viewing);
                None
            }
            () = reload.received() => {
                acceptor.apply(certificates.reload(), &certificates);
                Some(file.reload())
            }
            () = failback.received() => {
                proxy.release_failback(|_| true);
                None
            }
        };
        if let Some(read) = read {
            apply_config(&proxy, &file, &mut notifier, read, |config, without_secrets| {
                status.configure(config.status.as_ref());
                proxy.set_tokens(tokens(&config));
                controller.reload(config.services, without_secrets)
            });
        }
    }

    controller.save_history().await;
    log::draining(options.limits.drain);
    // Requests that need the controller fail from now on.
    status.set_draining();
    drop((requests, views));
    acceptor.closing.cancel();
    let drain = async {
        accepting.join_all().await;
        // No further connection is accepted.
        proxy.tasks.close();
        if timeout(IDLE_GRACE, proxy.tasks.wait()).await.is_err() {
            acceptor.stop.cancel();
            proxy.tasks.wait().await;
        }
    };
    let (drained, is_urgent) = tokio::select! {
        () = drain => (true, false),
        () = tokio::time::sleep(options.limits.drain) => (false, false),
        () = shutdown.requested() => (false, true),
    };
    proxy.tasks.close();
    acceptor.rejections.emit();
    // Each aborted request writes its line to the log.
    admin.stop.cancel();
    proxy.abort.cancel();
    proxy.tasks.wait().await;
    if !is_urgent {
        tokio::select! {
            () = notifier.stop() => {}
            () = shutdown.requested() => {}
        }
    }
    controller.save_history().await;
    drop((controller, shared_health));
    log::stopped(drained);
    let flush_timeout = if is_urgent { URGENT_FLUSH_TIMEOUT } else { LogWriter::FLUSH_TIMEOUT };
    tokio::select! {
        _ = timeout(flush_timeout, flush(logs.into_iter().flatten())) => {}
        () = shutdown.requested() => {}
    }
    Ok(())
}

/// The time for the last lines of the log after a second signal.
const URGENT_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Flushes logs on threads of their own, because the reader of an output may have stopped.
async fn flush(logs: impl Iterator<Item = LogWriter>) {
    let (done, mut flushed) = tokio::sync::mpsc::channel::<()>(1);
    for log in logs {
        let done = done.clone();
        std::thread::spawn(move || {
            log.flush();
            drop(done);
        });
    }
    drop(done);
    // Nothing is sent: the channel ends when all threads have ended.
    let _ = flushed.recv().await;
}

/// A limit of open files that allows fewer connections is probably not intended.
const FEW_CONNECTIONS: usize = 1000;

/// The default of [`Limits::connections_per_client`](crate::Limits::connections_per_client).
const CONNECTIONS_PER_CLIENT: usize = 256;

/// The time after which idle connections are closed at shutdown. A connection that is used before
/// is closed after its response, so that no request is sent to a connection that is being closed.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Reads the configuration for the first time.
pub(crate) fn open_config(path: &Path) -> Result<(ConfigFile, Available), StartError> {
    ConfigFile::open(path).map_err(|error| match error.reason {
        Reason::UnreadableFile | Reason::InvalidCertificate => StartError::File(error.detail),
        _ => StartError::Configuration(error.detail),
    })
}

/// Uses a configuration that was read again, or rejects it. `reload` replaces the services, and
/// returns the previous ones.
pub(crate) fn apply_config(
    proxy: &Proxy,
    file: &ConfigFile,
    notifier: &mut Notifier,
    read: Result<Available, ConfigError>,
    reload: impl FnOnce(Config, Vec<String>) -> Arc<Services>,
) {
    match read.and_then(|read| keep_served(&proxy.services(), file, read)) {
        Ok(read) => {
            let notify = read.config.notify.clone();
            let old = reload(read.config, read.without_secrets.clone());
            let new = proxy.services();
            let targets_changed = notifier.configure(notify);
            log::config_loaded(file, &new, &config_diff::describe(&old, &new, targets_changed));
            config_diff::ended_states(&old, &new).iter().for_each(log::emit);
            log::missing_secrets(file, &read.without_secrets, read.errors.as_ref());
            log::targets_without_secrets(file, &read.notify_without_secrets, read.errors.as_ref());
            log::status_without_secret(file, read.status_without_secret, read.errors.as_ref());
        }
        Err(error) => {
            proxy.set_config_rejected();
            log::config_rejected(&file.name(), error.reason, error.detail);
        }
    }
}

/// Starts to share health with a Worker.
fn share_health(monitor: Option<PushTarget>, proxy: &Arc<Proxy>) -> Result<SharedHealth, StartError> {
    let link = monitor.map(|target| Link::new(target, proxy, SharedHealth::SERVE_INTERVAL)).transpose();
    let link = link.map_err(StartError::no_roots)?;
    Ok(SharedHealth::start(proxy, link.into_iter().collect(), None))
}

/// Rejects a configuration that makes a service unavailable which is served now.
fn keep_served(services: &Services, file: &ConfigFile, read: Available) -> Result<Available, ConfigError> {
    let is_served = |address: &String| services.pools().any(|pool| pool.service().name() == *address);
    match &read.errors {
        Some(errors) if read.without_secrets.iter().any(is_served) => {
            Err(ConfigError { reason: Reason::MissingSecret, detail: errors.in_file(&file.name()).to_string() })
        }
        _ => Ok(read),
    }
}

impl Acceptor {
    /// Uses other certificates for new connections. If they are invalid, the previous ones stay in
    /// use.
    fn apply(&self, acceptor: Option<Result<TlsAcceptor, String>>, certificates: &Certificates) {
        match acceptor {
            Some(Ok(tls)) => {
                *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls);
                log::certificate_loaded(&certificates.name());
            }
            Some(Err(error)) => log::config_rejected(&certificates.name(), Reason::InvalidCertificate, error),
            None => {}
        }
    }
}
