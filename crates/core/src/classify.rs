//! How an attempt ended, and what follows from it.
//!
//! The useful question about a failure is not its kind but whether the application can have seen the request. Behind a
//! tunnel the answer is in the status: Cloudflare's edge answers 530 when no connector is there, 521 to 526 when it cannot
//! reach one, so nothing was delivered and anybody may be asked instead. A 502 or a lost connection leaves it open, and
//! then only a request that does no harm when it runs twice may be sent again.

use std::fmt;

use http::StatusCode;

/// Could the application have seen this attempt?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// No: it never left for the application.
    Never,
    /// Perhaps: it may have been executed.
    Unknown,
    /// Yes: this is its answer.
    Answered,
}

/// What happened, with no opinion on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Response headers arrived.
    Status(StatusCode),
    /// None did.
    Failed(Failure),
}

/// Why an attempt brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection or no TLS session: nothing of the request was sent.
    Connect,
    /// No response headers in time.
    Timeout,
    /// No response headers, and a probe sent meanwhile got no passing answer either.
    Unresponsive,
    /// The connection broke, or an error without a known cause.
    ConnectionLost,
    /// The host could not make a request of it: nothing was sent, and no server is to impact.
    InvalidRequest,
    /// A failure of this machine: no file descriptor, memory or port was left. Blames no server.
    Local,
}

/// How an outcome is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// Decides whether the request may be tried elsewhere.
    pub delivery: Delivery,
    /// Decides what it means for the server.
    pub impact: HealthImpact,
}

/// What an attempt says about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthImpact {
    /// Nothing, either way: it may have been the client's fault.
    Neutral,
    /// Clears the count of failures.
    Success,
    /// Counts: several in a row eject.
    Failure,
    /// Ejects at once.
    Fatal,
}

impl Classification {
    const ANSWERED: Self = Self { delivery: Delivery::Answered, impact: HealthImpact::Success };
    const UNKNOWN: Self = Self { delivery: Delivery::Unknown, impact: HealthImpact::Failure };
    const UNRESPONSIVE: Self = Self { delivery: Delivery::Unknown, impact: HealthImpact::Fatal };
    const INVALID_REQUEST: Self = Self { delivery: Delivery::Never, impact: HealthImpact::Neutral };
    const LOCAL: Self = Self { delivery: Delivery::Never, impact: HealthImpact::Neutral };
    const NEVER: Self = Self { delivery: Delivery::Never, impact: HealthImpact::Fatal };
}

impl Outcome {
    /// Whether this is an answer that speaks of a fault of the server: 500 and above, without the statuses that any client can
    /// provoke by its choice of method or version.
    pub(crate) fn is_server_error(self) -> bool {
        matches!(self, Self::Status(status) if status.is_server_error() && !matches!(status.as_u16(), 501 | 505))
    }

    /// Reads an outcome by the table of the status codes that stand for a failed gateway.
    ///
    /// Sources: Cloudflare's documentation of 52x and 530 errors; 521, 522, 523, 525 and 526 are also what Cloudflare Load
    /// Balancing fails over on. Everything an application itself would say, 500 included, is an answer.
    pub const fn classify(self) -> Classification {
        match self {
            Self::Failed(Failure::Connect) => Classification::NEVER,
            Self::Failed(Failure::Timeout | Failure::ConnectionLost) => Classification::UNKNOWN,
            Self::Failed(Failure::Unresponsive) => Classification::UNRESPONSIVE,
            Self::Failed(Failure::InvalidRequest) => Classification::INVALID_REQUEST,
            Self::Failed(Failure::Local) => Classification::LOCAL,
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
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Unresponsive => "no answer, not even to a probe",
            Self::ConnectionLost => "connection lost",
            Self::InvalidRequest => "not sent",
            Self::Local => "local resource exhausted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_by_the_table() {
        let never = [521, 523, 525, 526, 530];
        let unknown = [502, 503, 504, 520, 522, 524, 527];
        for code in 100..=999 {
            let expected = if never.contains(&code) {
                Classification { delivery: Delivery::Never, impact: HealthImpact::Fatal }
            } else if unknown.contains(&code) {
                Classification { delivery: Delivery::Unknown, impact: HealthImpact::Failure }
            } else {
                Classification { delivery: Delivery::Answered, impact: HealthImpact::Success }
            };
            assert_eq!(Outcome::Status(StatusCode::from_u16(code).unwrap()).classify(), expected, "{code}");
        }
    }

    #[test]
    fn only_a_failed_connection_is_known_not_to_be_delivered() {
        let delivery = |failure| Outcome::Failed(failure).classify().delivery;
        assert_eq!(delivery(Failure::Connect), Delivery::Never);
        assert_eq!(delivery(Failure::Timeout), Delivery::Unknown);
        assert_eq!(delivery(Failure::Unresponsive), Delivery::Unknown);
        assert_eq!(delivery(Failure::ConnectionLost), Delivery::Unknown);
    }

    #[test]
    fn local_failures_blame_no_server() {
        let local = Outcome::Failed(Failure::Local);
        assert_eq!(local.classify(), Classification { delivery: Delivery::Never, impact: HealthImpact::Neutral });
        assert_eq!(local.to_string(), "local resource exhausted");
    }
}
