//! How an attempt ended, and how that is read.
//!
//! What matters about a failure is whether the application can have seen the request. Behind a
//! tunnel the status shows it: Cloudflare's edge responds with 530 when no connector is connected
//! and 521 to 526 when it cannot reach one, so nothing was delivered and the request can go to any
//! other server. A 502 or a lost connection leaves it open. Then only a request that is harmless
//! when it runs twice may be sent again.

use std::fmt;

use http::StatusCode;

/// Whether the application can have seen an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The request did not reach the application.
    Never,
    /// The request may have been executed.
    Unknown,
    /// The application responded.
    Answered,
}

impl Delivery {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Unknown => "unknown",
            Self::Answered => "responded",
        }
    }
}

/// The fact, without an interpretation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Response headers arrived.
    Status(StatusCode),
    /// No response headers arrived.
    Failed(Failure),
}

/// Why an attempt ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection or TLS session was established: nothing of the request was sent.
    Connect,
    /// No response headers arrived in time.
    Timeout,
    /// No response headers arrived, and the server was found to be hung.
    Unresponsive,
    /// The connection broke, or the cause is unknown.
    ConnectionLost,
    /// The response cannot be read or passed on: its head is malformed, its status is above 599, or
    /// it switches to a protocol that was not requested.
    InvalidResponse,
    /// The server declined the request, which another one may serve: a replica that is behind or
    /// read-only, or a shard that has moved. Nothing was executed, and no server is at fault. For
    /// protocols in which a response says so, and for a connection that the server closed as idle.
    Declined,
    /// The host could not build the request. Nothing was sent, and no server is at fault.
    InvalidRequest,
    /// The client did not send the whole of its request. No server is at fault.
    ClientAborted,
    /// The host has no file descriptor, memory, port or subrequest left. Nothing was sent, and no
    /// server is at fault.
    Local,
}

/// The interpretation of an outcome by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// Whether the application can have seen the request.
    pub delivery: Delivery,
    /// The effect on the health of the server.
    pub impact: HealthImpact,
}

/// The interpretation of an outcome for one request: see
/// [`RequestMeta::rule`](crate::RequestMeta::rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether the application can have seen the request.
    pub delivery: Delivery,
    /// The effect on the health of the server.
    pub impact: HealthImpact,
    /// Whether the request may be sent again.
    pub retryable: bool,
}

/// The effect of an attempt on the health of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthImpact {
    /// Nothing.
    Neutral,
    /// The server works: ends a series of failures.
    Success,
    /// One failure: several of them eject the server.
    Failure,
    /// Ejects the server at once.
    Fatal,
}

impl HealthImpact {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Fatal => "fatal",
        }
    }
}

impl Classification {
    const ANSWERED: Self = Self { delivery: Delivery::Answered, impact: HealthImpact::Success };
    const INVALID: Self = Self { delivery: Delivery::Answered, impact: HealthImpact::Failure };
    const UNKNOWN: Self = Self { delivery: Delivery::Unknown, impact: HealthImpact::Failure };
    const UNRESPONSIVE: Self = Self { delivery: Delivery::Unknown, impact: HealthImpact::Fatal };
    const CLIENT_ABORTED: Self = Self { delivery: Delivery::Unknown, impact: HealthImpact::Neutral };
    const NOT_EXECUTED: Self = Self { delivery: Delivery::Never, impact: HealthImpact::Neutral };
    const NEVER: Self = Self { delivery: Delivery::Never, impact: HealthImpact::Fatal };
}

impl Outcome {
    /// Returns whether this is a response that reports a fault of the server: 500 and above, except
    /// for the statuses that a client can provoke by its choice of method or version.
    pub(crate) fn is_server_error(self) -> bool {
        matches!(self, Self::Status(status) if status.is_server_error() && !matches!(status.as_u16(), 501 | 505))
    }

    /// Classifies an outcome by the table of the statuses that stand for a failed gateway.
    ///
    /// Sources: Cloudflare's documentation of 52x and 530 errors; 521, 522, 523, 525 and 526 are
    /// also what Cloudflare Load Balancing fails over on. A status that an application itself would
    /// send, 500 included, is its response.
    pub const fn classify(self) -> Classification {
        match self {
            Self::Failed(Failure::Connect) => Classification::NEVER,
            Self::Failed(Failure::Timeout | Failure::ConnectionLost) => Classification::UNKNOWN,
            Self::Failed(Failure::Unresponsive) => Classification::UNRESPONSIVE,
            // The application responded, and would do so on every server.
            Self::Failed(Failure::InvalidResponse) => Classification::INVALID,
            Self::Failed(Failure::Declined | Failure::InvalidRequest | Failure::Local) => Classification::NOT_EXECUTED,
            Self::Failed(Failure::ClientAborted) => Classification::CLIENT_ABORTED,
            Self::Status(status) => match status.as_u16() {
                521 | 523 | 525 | 526 | 530 => Classification::NEVER,
                502 | 503 | 504 | 520 | 522 | 524 | 527 => Classification::UNKNOWN,
                _ => Classification::ANSWERED,
            },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connection failed",
            Self::Timeout => "response timeout",
            Self::Unresponsive => "server not responding",
            Self::ConnectionLost => "connection lost",
            Self::InvalidResponse => "invalid response",
            Self::Declined => "request declined",
            Self::InvalidRequest => "request not sent",
            Self::ClientAborted => "request aborted by the client",
            Self::Local => "local resource exhausted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_classified_by_the_table() {
        let never = [521, 523, 525, 526, 530];
        let unknown = [502, 503, 504, 520, 522, 524, 527];
        for code in 100..=999 {
            let expected = if never.contains(&code) {
                Classification::NEVER
            } else if unknown.contains(&code) {
                Classification::UNKNOWN
            } else {
                Classification::ANSWERED
            };
            assert_eq!(Outcome::Status(StatusCode::from_u16(code).unwrap()).classify(), expected, "{code}");
        }
    }

    #[test]
    fn failures_are_classified_by_delivery_and_health_impact() {
        use {Delivery::*, HealthImpact as Impact};
        let table = [
            (Failure::Connect, Never, Impact::Fatal),
            (Failure::Timeout, Unknown, Impact::Failure),
            (Failure::Unresponsive, Unknown, Impact::Fatal),
            (Failure::ConnectionLost, Unknown, Impact::Failure),
            (Failure::InvalidResponse, Answered, Impact::Failure),
            (Failure::Declined, Never, Impact::Neutral),
            (Failure::InvalidRequest, Never, Impact::Neutral),
            (Failure::ClientAborted, Unknown, Impact::Neutral),
            (Failure::Local, Never, Impact::Neutral),
        ];
        for (failure, delivery, impact) in table {
            assert_eq!(Outcome::Failed(failure).classify(), Classification { delivery, impact }, "{failure:?}");
        }
    }
}
