//! A single probe of a server, reported in detail: result, duration and cause.

use std::io;
use std::time::{Duration, Instant};

use tunnel_balancer_core::{HealthCheck, ProbeError, ProbeKind, ProbeResponse, Server, UpstreamError};
use tunnel_balancer_tokio::host::error;

use tunnel_balancer_tokio::host::{SendError, Upstream};

/// The result of one probe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProbeReport {
    /// The status of the response, if there was one. None with `type: tcp`.
    pub status: Option<u16>,
    /// The time until the response headers or the failure.
    pub duration: Duration,
    /// Why the health check fails. `None`: it passes.
    pub failure: Option<String>,
    /// The target of a redirect.
    pub location: Option<String>,
    /// Whether the health check also passes without the server's own headers. Then these headers
    /// do not protect the server from requests that bypass the balancer.
    pub passes_without_headers: bool,
}

/// Probes servers from this machine.
#[derive(Clone, Debug)]
pub struct ProbeRunner(Upstream);

impl ProbeRunner {
    /// Creates a runner.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Upstream::new(1)?))
    }

    /// Runs the health check of a server once. If it passes and the server has headers of its own,
    /// runs it again without them. `public_host` is the host of the service.
    pub async fn run(&self, server: &Server, check: &HealthCheck, public_host: &str) -> ProbeReport {
        let started = Instant::now();
        let result = self.probe_once(server, check, public_host).await;
        let duration = started.elapsed();
        let passes = |result: &Result<ProbeResponse, String>| {
            result.as_ref().is_ok_and(|response| check.evaluate(&Ok(response.clone())).is_ok())
        };
        let sends_headers = check.kind == ProbeKind::Http && !server.headers.is_empty();
        let passes_without_headers = sends_headers && passes(&result) && {
            let (mut bare, mut check) = (server.clone(), check.clone());
            bare.headers.clear();
            // Those of the health check may be the same credentials.
            check.headers.clear();
            passes(&self.probe_once(&bare, &check, public_host).await)
        };
        match result {
            Ok(response) => ProbeReport {
                status: (check.kind == ProbeKind::Http).then(|| response.status.as_u16()),
                duration,
                failure: check.evaluate(&Ok(response.clone())).err().map(|error| describe(&error, &response)),
                location: response.location.filter(|_| response.status.is_redirection()),
                passes_without_headers,
            },
            Err(failure) => {
                ProbeReport { status: None, duration, failure: Some(failure), location: None, passes_without_headers }
            }
        }
    }

    async fn probe_once(&self, server: &Server, check: &HealthCheck, host: &str) -> Result<ProbeResponse, String> {
        match tokio::time::timeout(check.timeout, self.0.probe_once(server, check, host)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(SendError::Failed(error))) => {
                Err(error::cause(&error).unwrap_or_else(|| SendError::Failed(error).failure().to_string()))
            }
            Ok(Err(error @ (SendError::NotConnected(_) | SendError::Certificates(_)))) => {
                Err(error.detail().unwrap_or_default())
            }
            Ok(Err(SendError::ResponseAborted)) => Err("response aborted".to_owned()),
            Ok(Err(SendError::InvalidRequest | SendError::ClientAborted)) => Err("invalid URL or header".to_owned()),
            Err(_) => Err(format!("no response within {:?}", check.timeout)),
        }
    }
}

fn describe(error: &ProbeError, response: &ProbeResponse) -> String {
    match response.status.as_u16() {
        530 => "the tunnel is down, or its hostname unknown (530, errors 1033 and 1016)".to_owned(),
        502 => "the tunnel is up but cannot reach the application (502)".to_owned(),
        _ => error.to_string(),
    }
}
