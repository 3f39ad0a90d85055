//! A request that no server responded to.

use std::error::Error;
use std::fmt;

use tunnel_balancer_core::{FailedAttempt, LocalReply, Service};

/// The error of a request that no server responded to.
#[derive(Debug)]
pub struct Failed {
    reply: LocalReply,
    attempts: Vec<FailedAttempt>,
    message: String,
}

impl Failed {
    pub(crate) fn new(reply: LocalReply, attempts: Vec<FailedAttempt>, service: &Service) -> Self {
        let attempt = |attempt: &FailedAttempt| {
            let server = service.server(attempt.info.server).map_or("?", |server| server.name.as_str());
            let cause = attempt.detail.clone().unwrap_or_else(|| attempt.outcome.to_string());
            format!("{server}: {cause}")
        };
        let causes = attempts.iter().map(attempt).collect::<Vec<_>>().join(", ");
        let message = if causes.is_empty() { String::new() } else { format!(" ({causes})") };
        Self { message: format!("no response: {}{message}", reply.code()), reply, attempts }
    }

    /// Creates the error of a request without an attempt.
    pub(crate) fn not_sent(reply: LocalReply) -> Self {
        Self { message: format!("no response: {}", reply.code()), reply, attempts: Vec::new() }
    }

    /// Returns the reply of a proxy to a client.
    pub const fn reply(&self) -> LocalReply {
        self.reply
    }

    /// Returns the attempts, in the order of their ends.
    pub fn attempts(&self) -> &[FailedAttempt] {
        &self.attempts
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failed {}
