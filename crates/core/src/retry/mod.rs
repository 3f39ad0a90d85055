//! When a request may be sent again.
//!
//! Two questions, kept apart. May it run twice? That depends on how the attempt ended and on the method. Can it be sent
//! twice? That depends on the body: a stream is gone once it was read, so small bodies are kept for a replay ([`Body`],
//! [`ReplayMemory`]) and large ones get a single attempt.

mod replay;

use std::time::Duration;

use http::Method;

use crate::classify::{Delivery, Outcome};

pub use replay::{Body, ReplayMemory, Reservation};

/// How often and how long a service's requests are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Attempts for one request, the first included. Default 3.
    pub attempts: u32,
    /// From the arrival of the request to its response headers, all attempts together. Default 100 s, after which
    /// Cloudflare's edge gives up as well.
    pub timeout: Duration,
    /// A hard limit for each attempt. It cuts slow answers of healthy servers as well; default none.
    pub try_timeout: Option<Duration>,
    /// An attempt without response headers for this long makes its server suspect: see [`Wait`](crate::Wait). Default 3 s.
    pub suspect_after: Option<Duration>,
    /// Largest body, in bytes, that is kept for a replay. Default 64 KiB.
    pub replay_limit: u64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            timeout: Duration::from_secs(100),
            try_timeout: None,
            suspect_after: Some(Duration::from_secs(3)),
            replay_limit: 64 * 1024,
        }
    }
}

/// What the core needs to know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// The method as the client sent it.
    pub method: Method,
    /// Whether there is an `Idempotency-Key` header: the application then recognises a repetition itself.
    pub idempotency_key: bool,
    /// Whether the body can be sent again.
    pub body: Body,
}

impl RequestInfo {
    /// Whether running the request twice does no more than running it once (RFC 9110, section 9.2.2).
    fn is_idempotent(&self) -> bool {
        // `http::Method::is_idempotent` names the same methods, and CONNECT never gets here.
        self.method.is_idempotent() || self.idempotency_key
    }

    /// Whether a failure without a known cause would be tried elsewhere, so that its client never sees it.
    pub(crate) fn survives_doubt(&self) -> bool {
        self.is_idempotent() && self.body == Body::Replayable
    }

    /// Whether the request may be sent to another server after an attempt ended so.
    pub(crate) fn may_go_elsewhere(&self, outcome: Outcome) -> bool {
        let may_run_again = match outcome.verdict().delivery {
            Delivery::Never => true,
            Delivery::Unknown => self.is_idempotent(),
            Delivery::Answered => false,
        };
        // With an answer or a broken connection the body has been read; without a connection it was never touched.
        let untouched = matches!(outcome, Outcome::Failed(_)) && outcome.verdict().delivery == Delivery::Never;
        may_run_again && (untouched || self.body == Body::Replayable)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::classify::Failure;

    #[test]
    fn retry_is_decided_by_delivery_method_and_body() {
        use Body::{Once, Replayable};
        let status = |code| Outcome::Status(StatusCode::from_u16(code).unwrap());
        let (connect, lost) = (Outcome::Failed(Failure::Connect), Outcome::Failed(Failure::Lost));
        let timeout = Outcome::Failed(Failure::Timeout);
        // (case, method, idempotency key, body, outcome, goes elsewhere)
        let table = [
            ("RTY-01", "GET", false, Replayable, connect, true),
            ("RTY-02", "POST", false, Replayable, connect, true),
            ("RTY-03", "POST", false, Replayable, lost, false),
            ("RTY-04", "POST", false, Replayable, status(502), false),
            ("RTY-05", "GET", false, Replayable, status(500), false),
            ("RTY-05", "GET", false, Replayable, status(404), false),
            ("RTY-22", "HEAD", false, Replayable, status(502), true),
            ("RTY-22", "PUT", false, Replayable, timeout, true),
            ("RTY-22", "DELETE", false, Replayable, lost, true),
            ("RTY-22", "PATCH", false, Replayable, lost, false),
            ("RTY-22", "OPTIONS", false, Replayable, status(504), true),
            ("an unknown method is not idempotent", "BREW", false, Replayable, lost, false),
            ("RTY-24", "GET", false, Replayable, status(521), true),
            ("RTY-24", "POST", false, Replayable, status(530), true),
            ("RTY-24", "GET", false, Replayable, status(520), true),
            ("RTY-24", "POST", false, Replayable, status(520), false),
            ("a key makes a POST repeatable", "POST", true, Replayable, status(502), true),
            ("BOD-02", "PUT", false, Once, status(502), false),
            ("BOD-02", "PUT", false, Once, status(530), false),
            ("the body was never touched", "POST", false, Once, connect, true),
            ("a success is no failure", "GET", false, Replayable, status(200), false),
        ];
        for (case, method, idempotency_key, body, outcome, expected) in table {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = RequestInfo { method, idempotency_key, body };
            assert_eq!(request.may_go_elsewhere(outcome), expected, "{case}: {request:?} after {outcome:?}");
        }
    }
}
