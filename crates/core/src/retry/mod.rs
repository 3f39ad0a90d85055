//! When a request may be sent again.
//!
//! Two questions, kept apart. May it run twice? That depends on how the attempt ended and on the method. Can it be sent
//! twice? That depends on the body: a stream is gone once it was read, so small bodies are kept for a replay ([`Body`],
//! [`ReplayBuffer`]) and large ones get a single attempt.

pub(crate) mod backoff;
mod budget;

use http::Method;

use crate::classify::{Delivery, Failure, HealthImpact, Outcome};
use crate::server_set::ServerId;
use crate::service::RetrySettings;

pub(crate) use budget::Budget;

/// Whether a request's body can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, or it is kept.
    Replayable,
    /// It streams through.
    Once,
}

/// What the core needs to know of a request. Make one by `RequestMeta { body, ..RequestMeta::new(method) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// The method as the client sent it.
    pub method: Method,
    /// Whether there is an `Idempotency-Key` header: the application then recognises a repetition itself. Default no.
    pub idempotency_key: bool,
    /// Whether the body can be sent again. Default yes, as for a request without one.
    pub body: Body,
    /// What the policy `hash` goes by, made by [`hash::key`](crate::hash::key). Default 0.
    pub key: u64,
    /// The server that the client's affinity cookie names, from [`Pool::sticky`](crate::Pool::sticky). Default none.
    pub sticky: Option<ServerId>,
}

impl RequestMeta {
    /// A request without a body, key or cookie.
    pub const fn new(method: Method) -> Self {
        Self { method, idempotency_key: false, body: Body::Replayable, key: 0, sticky: None }
    }

    /// Whether running the request twice does no more than running it once (RFC 9110, section 9.2.2), or is allowed.
    fn is_idempotent(&self, settings: &RetrySettings) -> bool {
        // `http::Method::is_idempotent` names the same methods, and CONNECT never gets here.
        self.method.is_idempotent() || self.idempotency_key || settings.non_idempotent
    }

    /// Whether a failure without a known cause would be tried elsewhere, so that its client never sees it.
    pub(crate) fn is_safely_retryable(&self, settings: &RetrySettings) -> bool {
        self.is_idempotent(settings) && self.body == Body::Replayable
    }

    /// What an outcome of this request says about its server.
    ///
    /// When a connection breaks while a body streams through, the client may have broken it: somebody who starts uploads and
    /// drops them must not take servers out.
    pub fn impact(&self, outcome: Outcome, settings: &RetrySettings) -> HealthImpact {
        if self.body == Body::Once && outcome == Outcome::Failed(Failure::ConnectionLost) {
            return HealthImpact::Neutral;
        }
        settings.classify(outcome).impact
    }

    /// Whether the request may be sent again after an attempt ended so.
    pub fn is_retryable_after(&self, outcome: Outcome, settings: &RetrySettings) -> bool {
        let delivery = settings.classify(outcome).delivery;
        let may_run_again = match delivery {
            Delivery::Never => true,
            Delivery::Unknown => self.is_idempotent(settings),
            Delivery::Answered => false,
        };
        // With an answer or a broken connection the body has been read; without a connection it was never touched.
        let untouched = matches!(outcome, Outcome::Failed(_)) && delivery == Delivery::Never;
        may_run_again && (untouched || self.body == Body::Replayable)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::service::StatusRanges;

    #[test]
    fn retry_is_decided_by_delivery_method_and_body() {
        use Body::{Once, Replayable};
        let status = |code| Outcome::Status(StatusCode::from_u16(code).unwrap());
        let (connect, lost) = (Outcome::Failed(Failure::Connect), Outcome::Failed(Failure::ConnectionLost));
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
            let request = RequestMeta { idempotency_key, body, ..RequestMeta::new(method) };
            let settings = RetrySettings::default();
            assert_eq!(
                request.is_retryable_after(outcome, &settings),
                expected,
                "{case}: {request:?} after {outcome:?}"
            );
        }
    }

    #[test]
    fn operators_add_and_remove_statuses_and_allow_methods() {
        let settings = RetrySettings {
            statuses: StatusRanges(vec![(500, 500), (429, 429)]),
            passthrough_statuses: StatusRanges(vec![(503, 503)]),
            non_idempotent: true,
            ..RetrySettings::default()
        };
        let status = |code| Outcome::Status(StatusCode::from_u16(code).unwrap());
        let table = [
            ("GET", 500, true),
            ("GET", 429, true),
            ("GET", 503, false),
            ("GET", 502, true),
            ("GET", 404, false),
            ("POST", 502, true),
            ("POST", 500, true),
            // RTY-23: to allow a method is no reason to repeat a success.
            ("POST", 200, false),
        ];
        for (method, code, expected) in table {
            let request = RequestMeta::new(method.parse().unwrap());
            assert_eq!(request.is_retryable_after(status(code), &settings), expected, "{method} after {code}");
        }
        assert_eq!(settings.classify(status(503)).impact, HealthImpact::Success, "what is passed on is not counted");
    }
}
