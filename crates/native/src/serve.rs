//! The whole program: reads the configuration, listens, and drains at shutdown.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_config::Available;
use tunnel_balancer_core::{Reason, Services};

use crate::config_diff;
use crate::config_file::{ConfigError, ConfigFile};
use crate::connections::Connections;
use crate::descriptors::{self, Shares};
use crate::listener::{Acceptor, listen};
use crate::log::{self, LogWriter};
use crate::options::{Options, Protocol};
use crate::proxy::Proxy;
use crate::rejections::Rejections;
use crate::tls::Certificates;

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration file is invalid.
    #[error("{0}")]
    Configuration(String),
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

/// Serves until SIGTERM or SIGINT, then drains the requests in flight. A second signal aborts them.
/// SIGHUP reloads the configuration and the certificates. SIGUSR1 releases the traffic that
/// `failback: manual` holds back.
///
/// Requests are written to `access_log`. Events are emitted through `tracing`: see
/// [`LogLayer`](crate::LogLayer).
///
/// # Errors
/// If it cannot start. Later errors are logged.
pub async fn serve(options: Options, access_log: Option<LogWriter>) -> Result<(), StartError> {
    let (mut file, read) = ConfigFile::open(&options.file).map_err(|error| StartError::Configuration(error.detail))?;
    let (mut certificates, tls) = Certificates::open(options.tls).map_err(StartError::Tls)?;
    descriptors::raise_limit();
    let catch = |kind| signal(kind).map_err(|error| StartError::Os("cannot catch signals", error));
    let (mut hangup, mut command) = (catch(SignalKind::hangup())?, catch(SignalKind::user_defined1())?);
    let mut shutdown =
        Shutdown { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
    let mut listeners = Vec::new();
    for listener in &options.listen {
        let (address, protocol) = (listener.address, listener.protocol);
        let socket = listen(address).map_err(|error| StartError::Listen(address, error))?;
        let address = socket.local_addr().map_err(|error| StartError::Listen(address, error))?;
        listeners.push((socket, address, protocol));
    }
    let https = listeners.iter().find(|(_, _, protocol)| *protocol == Protocol::Https);
    let https_port = https.map_or(443, |(_, address, _)| address.port());
    let seed = fastrand::u64(..);
    let services = Services::new(read.config.services, seed).with_missing_secrets(&read.without_secrets);
    let proxy = Proxy::new(services, options.trusted.clone(), options.limits, access_log)
        .map_err(|error| StartError::Os("cannot read the root certificates of the machine", error))?;
    let proxy = Arc::new(proxy);
    log::config_loaded(&file, &proxy.services(), concat!("tunnel-balancer ", env!("CARGO_PKG_VERSION")));
    log::missing_secrets(&file, &read.without_secrets, read.errors.as_ref());
    let Shares { connections, .. } = proxy.shares();
    if connections < options.limits.connections.min(FEW_CONNECTIONS) {
        let descriptors = descriptors::soft_limit();
        let detail = format!("at most {connections} connections: this process may have {descriptors} open files");
        log::option_limited("--max-connections", &detail);
    }
    let per_client = options.limits.connections_per_client.unwrap_or(CONNECTIONS_PER_CLIENT);
    let acceptor = Arc::new(Acceptor {
        proxy: Arc::clone(&proxy),
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

    let mut accepting = JoinSet::new();
    for (listener, address, protocol) in listeners {
        log::listening(address, protocol.scheme());
        accepting.spawn(Arc::clone(&acceptor).accept(listener, protocol));
    }
    let mut health_checks = proxy.start_health_checks();
    let mut poll = tokio::time::interval(ConfigFile::POLL_INTERVAL);
    loop {
        let read = tokio::select! {
            () = shutdown.requested() => break,
            _ = poll.tick() => {
                acceptor.rejections.emit();
                acceptor.apply(certificates.poll(), &certificates);
                file.poll()
            }
            _ = hangup.recv() => {
                acceptor.apply(certificates.reload(), &certificates);
                Some(file.reload())
            }
            _ = command.recv() => {
                proxy.release_failback();
                None
            }
        };
        match read.map(|read| read.and_then(|read| keep_served(&proxy.services(), &file, read))) {
            Some(Ok(read)) => {
                let old = proxy.services();
                proxy.reload(read.config.services, &read.without_secrets);
                health_checks = proxy.start_health_checks();
                let new = proxy.services();
                log::config_loaded(&file, &new, &config_diff::describe(&old, &new));
                config_diff::ended_states(&old, &new).iter().for_each(log::emit);
                log::missing_secrets(&file, &read.without_secrets, read.errors.as_ref());
            }
            Some(Err(error)) => {
                proxy.set_config_rejected();
                log::config_rejected(&file.name(), error.reason, error.detail);
            }
            None => {}
        }
    }

    log::draining(options.limits.drain);
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
    let drained = tokio::select! {
        () = drain => true,
        () = tokio::time::sleep(options.limits.drain) => false,
        () = shutdown.requested() => false,
    };
    proxy.tasks.close();
    acceptor.rejections.emit();
    // Each aborted request writes its line to the log.
    proxy.abort.cancel();
    proxy.tasks.wait().await;
    drop(health_checks);
    log::stopped(drained);
    Ok(())
}

/// A limit of open files that allows fewer connections is probably not intended.
const FEW_CONNECTIONS: usize = 1000;

/// The default of [`Limits::connections_per_client`](crate::Limits::connections_per_client).
const CONNECTIONS_PER_CLIENT: usize = 256;

/// The time after which idle connections are closed at shutdown. A connection that is used before
/// is closed after its response, so that no request is sent to a connection that is being closed.
const IDLE_GRACE: Duration = Duration::from_secs(1);

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

/// The signals that request a shutdown.
struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
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
