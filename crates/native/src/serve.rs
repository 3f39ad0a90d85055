//! The whole program: reads the configuration, listens, and drains at shutdown.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_config::Config;
use tunnel_balancer_core::Clock;

use crate::config_file::ConfigFile;
use crate::connections::Connections;
use crate::listener::Acceptor;
use crate::log::Log;
use crate::options::Options;
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
/// # Errors
/// If it cannot start. Later errors are logged.
pub async fn serve(options: Options, log: Log) -> Result<(), StartError> {
    let (mut file, config) = ConfigFile::open(&options.file).map_err(StartError::Configuration)?;
    let acceptor = options.tls.as_ref().map(tls::acceptor).transpose().map_err(StartError::Tls)?;
    let catch = |kind| signal(kind).map_err(|error| StartError::Os("cannot catch signals", error));
    let (mut hangup, mut command) = (catch(SignalKind::hangup())?, catch(SignalKind::user_defined1())?);
    let mut shutdown =
        Shutdown { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
    let mut listeners = Vec::new();
    for address in &options.listen {
        listeners.push(TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?);
    }
    let proxy = Proxy::new(config.services, options.trusted.clone(), options.limits, log.clone())
        .map_err(|error| StartError::Os("cannot read the machine's root certificates", error))?;
    let proxy = Arc::new(proxy);
    let acceptor = Arc::new(Acceptor {
        proxy: Arc::clone(&proxy),
        trusted: options.trusted,
        limits: options.limits,
        tls: RwLock::new(acceptor),
        public_scheme: options.public_scheme,
        connections: Connections::new(options.limits.connections_per_client),
        permits: Arc::new(Semaphore::new(options.limits.connections)),
        stop: CancellationToken::new(),
    });

    let mut accepting = JoinSet::new();
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            log.event("listening", json!({ "address": address.to_string(), "scheme": scheme }));
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
                reload_certificate(&acceptor, &options.tls, &log);
                Some(file.reload())
            }
            _ = command.recv() => {
                proxy.services().pools().for_each(|pool| pool.update(|state| state.release_failback(proxy.clock.now())));
                log.event("traffic returns", json!({}));
                None
            }
        };
        match read {
            Some(Ok(Config { services, .. })) => {
                let number = services.len();
                proxy.reload(services);
                health_checks = proxy.start_health_checks();
                log.event("configuration reloaded", json!({ "services": number }));
            }
            Some(Err(errors)) => {
                log.event(
                    "invalid configuration",
                    json!({ "errors": errors, "note": "the last good one stays in use" }),
                );
            }
            None => {}
        }
    }

    accepting.shutdown().await;
    log.event("stopping", json!({ "at_most_s": options.limits.drain.as_secs() }));
    acceptor.stop.cancel();
    proxy.tasks.close();
    let all = tokio::select! {
        () = proxy.tasks.wait() => true,
        () = tokio::time::sleep(options.limits.drain) => false,
        () = shutdown.requested() => false,
    };
    // Each aborted request writes its line to the log.
    proxy.abort.cancel();
    proxy.tasks.wait().await;
    drop(health_checks);
    log.event("stopped", json!({ "everything_finished": all }));
    log.flush();
    Ok(())
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
fn reload_certificate(acceptor: &Acceptor, files: &Option<crate::TlsFiles>, log: &Log) {
    let Some(files) = files else { return };
    match tls::acceptor(files) {
        Ok(tls) => *acceptor.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls),
        Err(errors) => {
            log.event("invalid certificate", json!({ "errors": errors, "note": "the last good one stays in use" }))
        }
    }
}
