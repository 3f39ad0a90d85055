//! A single look at a server, for people: what its health check says, how long it took, and why it
//! failed.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tunnel_balancer_core::{HealthCheck, ProbeError, ProbeResponse, Server, UpstreamError};

use crate::error::chain;
use crate::upstream::{SendError, Upstream};

/// What one look brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Look {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Until the answer, or the end of the attempt.
    pub took: Duration,
    /// Why the health check does not pass, in a few words; `None`: it passes.
    pub fault: Option<String>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// Whether the server, asked without its own headers, passes as well: whoever knows its name
    /// gets past what they open.
    pub open: bool,
}

/// Looks at servers from this machine.
#[derive(Clone, Debug)]
pub struct Looker(Upstream);

impl Looker {
    /// # Errors
    /// When the machine has no root certificates to know servers by.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Upstream::new()?))
    }

    /// Runs the health check of a server once, and once more without the server's own headers where
    /// it has some.
    pub async fn look(&self, server: &Server, check: &HealthCheck) -> Look {
        let began = Instant::now();
        let asked = self.ask(server, check).await;
        let took = began.elapsed();
        let open = if server.headers.is_empty() {
            false
        } else {
            let mut bare = server.clone();
            bare.headers.clear();
            self.ask(&bare, check).await.is_ok_and(|answer| check.evaluate(&Ok(answer)).is_ok())
        };
        match asked {
            Ok(answer) => Look {
                status: Some(answer.status.as_u16()),
                took,
                fault: check.evaluate(&Ok(answer.clone())).err().map(|fault| in_words(&fault, &answer)),
                location: answer.location.filter(|_| answer.status.is_redirection()),
                open,
            },
            Err(fault) => Look { status: None, took, fault: Some(fault), location: None, open },
        }
    }

    async fn ask(&self, server: &Server, check: &HealthCheck) -> Result<ProbeResponse, String> {
        match tokio::time::timeout(check.timeout, self.0.probe_once(server, check)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(SendError::Failed(error))) => {
                let cause = chain(&error).find_map(known);
                Err(cause.unwrap_or_else(|| SendError::Failed(error).failure().to_string()))
            }
            Ok(Err(SendError::ResponseAborted)) => Err("the answer broke off".to_owned()),
            Ok(Err(SendError::InvalidRequest | SendError::ClientAborted)) => {
                Err("the address cannot be asked".to_owned())
            }
            Err(_) => Err(format!("no answer within {:?}", check.timeout)),
        }
    }
}

fn in_words(fault: &ProbeError, answer: &ProbeResponse) -> String {
    match answer.status.as_u16() {
        530 => "the tunnel is down, or its hostname unknown (530, errors 1033 and 1016)".to_owned(),
        502 => "the tunnel is up, and cannot reach the application (502)".to_owned(),
        _ => fault.to_string(),
    }
}

/// The cause of a failed connection, from the errors of this machine.
fn known(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(format!("TLS: {tls}"));
    }
    if error.to_string().starts_with("dns error") {
        return Some("DNS: the hostname has no address".to_owned());
    }
    let text = match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "no connection in time",
        _ => return None,
    };
    Some(text.to_owned())
}
