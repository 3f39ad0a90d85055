//! The whole program: from a file to a proxy that runs until it is told to stop.

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

use crate::configuration::File;
use crate::connections::Connections;
use crate::listener::Gate;
use crate::log::Log;
use crate::options::Options;
use crate::proxy::Proxy;
use crate::tls;

/// Why a proxy does not start. The text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file of the services has mistakes.
    #[error("{0}")]
    Configuration(String),
    /// An address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Certificate or key cannot be used.
    #[error("{0}")]
    Tls(String),
    /// Something else that the machine refused.
    #[error("{0}: {1}")]
    Machine(&'static str, std::io::Error),
}

/// Serves until SIGTERM or SIGINT, then lets what runs come to its end; a second signal cuts that
/// short. SIGHUP has the configuration and the certificate read again, SIGUSR1 has traffic return
/// where that waits for a command (`failback: manual`).
///
/// # Errors
/// When it cannot start. Whatever happens later is told in the log.
pub async fn serve(options: Options, log: Log) -> Result<(), StartError> {
    let (mut file, config) = File::open(&options.file).map_err(StartError::Configuration)?;
    let acceptor = options.tls.as_ref().map(tls::acceptor).transpose().map_err(StartError::Tls)?;
    let catch = |kind| signal(kind).map_err(|error| StartError::Machine("cannot catch signals", error));
    let (mut hangup, mut command) = (catch(SignalKind::hangup())?, catch(SignalKind::user_defined1())?);
    let mut stop = Stop { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
    let mut listeners = Vec::new();
    for address in &options.listen {
        listeners.push(TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?);
    }
    let proxy = Proxy::new(config.services, options.trusted.clone(), options.limits, log.clone())
        .map_err(|error| StartError::Machine("cannot read the machine's root certificates", error))?;
    let proxy = Arc::new(proxy);
    let gate = Arc::new(Gate {
        proxy: Arc::clone(&proxy),
        trusted: options.trusted,
        limits: options.limits,
        tls: RwLock::new(acceptor),
        public_scheme: options.public_scheme,
        connections: Connections::new(options.limits.connections_per_client),
        room: Arc::new(Semaphore::new(options.limits.connections)),
        stop: CancellationToken::new(),
    });

    let mut accepting = JoinSet::new();
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            log.event("listening", json!({ "address": address.to_string(), "scheme": scheme }));
        }
        accepting.spawn(Arc::clone(&gate).accept(listener));
    }
    let mut watch = proxy.watch();
    let mut look = tokio::time::interval(File::EVERY);
    loop {
        let read = tokio::select! {
            () = stop.wanted() => break,
            _ = look.tick() => file.look(),
            _ = hangup.recv() => {
                read_certificate(&gate, &options.tls, &log);
                Some(file.look_again())
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
                watch = proxy.watch();
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
    gate.stop.cancel();
    proxy.tasks.close();
    let all = tokio::select! {
        () = proxy.tasks.wait() => true,
        () = tokio::time::sleep(options.limits.drain) => false,
        () = stop.wanted() => false,
    };
    // What is left ends here, each with its line in the log.
    proxy.cut.cancel();
    proxy.tasks.wait().await;
    drop(watch);
    log.event("stopped", json!({ "everything_finished": all }));
    log.flush();
    Ok(())
}

/// The signals that end the program.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn wanted(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Takes a renewed certificate; a bad one leaves the old one in use.
fn read_certificate(gate: &Gate, files: &Option<crate::TlsFiles>, log: &Log) {
    let Some(files) = files else { return };
    match tls::acceptor(files) {
        Ok(acceptor) => *gate.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(acceptor),
        Err(errors) => {
            log.event("invalid certificate", json!({ "errors": errors, "note": "the last good one stays in use" }))
        }
    }
}
