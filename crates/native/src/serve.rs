//! The whole program: reads the configuration, listens, and drains at shutdown.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_config::Available;
use tunnel_balancer_core::{Reason, Services};

use crate::config_diff;
use crate::config_file::{ConfigError, ConfigFile};
use crate::connections::Connections;
use crate::listener::Acceptor;
use crate::log::{self, LogWriter};
use crate::options::{Options, TlsFiles};
use crate::proxy::Proxy;
use crate::tls;

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
/// SIGHUP reloads the configuration and the certificate. SIGUSR1 releases the traffic that
/// `failback: manual` holds back.
///
/// Requests are written to `access_log`. Events are emitted through `tracing`: see
/// [`LogLayer`](crate::LogLayer).
///
/// # Errors
/// If it cannot start. Later errors are logged.
pub async fn serve(options: Options, access_log: Option<LogWriter>) -> Result<(), StartError> {
    let (mut file, read) = ConfigFile::open(&options.file).map_err(|error| StartError::Configuration(error.detail))?;
    let tls = options.tls.as_ref().map(tls::acceptor).transpose().map_err(StartError::Tls)?;
    let catch = |kind| signal(kind).map_err(|error| StartError::Os("cannot catch signals", error));
    let (mut hangup, mut command) = (catch(SignalKind::hangup())?, catch(SignalKind::user_defined1())?);
    let mut shutdown =
        Shutdown { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
    let mut listeners = Vec::new();
    for address in &options.listen {
        listeners.push(TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?);
    }
    let seed = fastrand::u64(..);
    let services = Services::new(read.config.services, seed).with_missing_secrets(&read.without_secrets);
    let proxy = Proxy::new(services, options.trusted.clone(), options.limits, access_log)
        .map_err(|error| StartError::Os("cannot read the root certificates of the machine", error))?;
    let proxy = Arc::new(proxy);
    log::config_loaded(&file, &proxy.services(), concat!("tunnel-balancer ", env!("CARGO_PKG_VERSION")));
    log::missing_secrets(&file, &read.without_secrets, read.errors.as_ref());
    let acceptor = Arc::new(Acceptor {
        proxy: Arc::clone(&proxy),
        trusted: options.trusted,
        limits: options.limits,
        tls: RwLock::new(tls),
        public_scheme: options.public_scheme,
        connections: Connections::new(options.limits.connections_per_client),
        permits: Arc::new(Semaphore::new(options.limits.connections)),
        stop: CancellationToken::new(),
    });

    let mut accepting = JoinSet::new();
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            log::listening(address, scheme);
        }
        accepting.spawn(Arc::clone(&acceptor).accept(listener));
    }
    let mut health_checks = proxy.start_health_checks();
    let mut poll = tokio::time::interval(ConfigFile::POLL_INTERVAL);
    loop {
        let read = tokio::select! {
            () = shutdown.requested() => break,
            _ = poll.tick() => file.poll(),
            _ = hangup.recv() => {
                reload_certificate(&acceptor, &options.tls);
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

    accepting.shutdown().await;
    log::draining(options.limits.drain);
    acceptor.stop.cancel();
    proxy.tasks.close();
    let drained = tokio::select! {
        () = proxy.tasks.wait() => true,
        () = tokio::time::sleep(options.limits.drain) => false,
        () = shutdown.requested() => false,
    };
    // Each aborted request writes its line to the log.
    proxy.abort.cancel();
    proxy.tasks.wait().await;
    drop(health_checks);
    log::stopped(drained);
    Ok(())
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

/// Reloads the certificate. If it is invalid, the previous one stays in use.
fn reload_certificate(acceptor: &Acceptor, files: &Option<TlsFiles>) {
    let Some(files) = files else { return };
    match tls::acceptor(files) {
        Ok(tls) => *acceptor.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls),
        Err(error) => {
            let file = files.certificates.display().to_string();
            log::config_rejected(&file, Reason::InvalidCertificate, error);
        }
    }
}
