//! When a request may be sent again.
//!
//! There are two separate questions. Whether a request may *run* twice depends on how the attempt
//! ended and on the method. Whether it can be *sent* twice depends on the body: a stream can be
//! read only once, so small bodies are buffered ([`Body`], [`ReplayBuffer`](crate::ReplayBuffer))
//! and large ones get a single attempt.

mod budget;
mod hold;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};

use crate::classify::{Delivery, Failure, HealthImpact, Outcome, Ruling};
use crate::server_set::ServerId;
use crate::service::RetrySettings;

pub(crate) use budget::Budget;
pub(crate) use hold::HoldQueue;

/// Whether a request's body can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, or it is buffered.
    Replayable,
    /// It is streamed.
    Once,
}

/// The data of a request that the core needs. Construct one with `RequestMeta { body,
/// ..RequestMeta::new(method) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// The method as the client sent it.
    pub method: Method,
    /// Whether there is an `Idempotency-Key` header: the application then recognizes a repetition
    /// itself. Default no.
    pub idempotency_key: bool,
    /// Whether the request asks for an upgrade, as a WebSocket handshake does. Default no.
    pub upgrade: bool,
    /// Whether the body can be sent again. Default yes, as for a request without one.
    pub body: Body,
    /// The key of the policy `hash`, made by [`hash::key`](crate::hash::key). Default 0.
    pub hash_key: u64,
    /// The server that the client's affinity cookie names, from
    /// [`Pool::affinity_server`](crate::Pool::affinity_server). Default none.
    pub affinity_server: Option<ServerId>,
    /// Whether the host can wait between attempts. If not, no step is
    /// [`Step::Sleep`](crate::Step::Sleep): the request is not held, and does not wait for the
    /// trials of others. Default yes.
    pub can_wait: bool,
    /// Whether the decisions are recorded as a [`Trace`](crate::Trace). Default no.
    pub trace: bool,
}

impl RequestMeta {
    /// Creates a request without a body, key or cookie.
    pub const fn new(method: Method) -> Self {
        Self {
            method,
            idempotency_key: false,
            upgrade: false,
            body: Body::Replayable,
            hash_key: 0,
            affinity_server: None,
            can_wait: true,
            trace: false,
        }
    }

    /// Creates the request with this head, for a host that can send a body of up to `limit` bytes
    /// again: the size of its buffer.
    ///
    /// A body of unknown length can be sent once. In HTTP/1, a request with neither
    /// `Content-Length` nor `Transfer-Encoding` has no body (RFC 9112, section 6.3). In later
    /// versions its body is unknown, and only a request with a safe method is taken for one
    /// without. `hash_key` and `affinity_server` are not set.
    pub fn from_head(head: &Parts, limit: u64) -> Self {
        let (method, headers) = (head.method.clone(), &head.headers);
        let has_length = headers.contains_key(CONTENT_LENGTH);
        let may_have_body = head.version > Version::HTTP_11 && !method.is_safe();
        let is_streamed = headers.contains_key(TRANSFER_ENCODING) || (!has_length && may_have_body);
        let length = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
        let fits =
            headers.get_all(CONTENT_LENGTH).iter().all(|value| length(value).is_some_and(|bytes: u64| bytes <= limit));
        Self {
            idempotency_key: headers.contains_key("idempotency-key"),
            upgrade: headers.contains_key(UPGRADE),
            body: if fits && !is_streamed { Body::Replayable } else { Body::Once },
            ..Self::new(method)
        }
    }

    /// Creates a request of another protocol than HTTP that only reads: it may run twice, and at
    /// the same time.
    pub const fn read() -> Self {
        Self::new(Method::GET)
    }

    /// Creates a request of another protocol than HTTP that may write. It is sent again only if it
    /// was not executed. With [`Writes::PrimaryOnly`](crate::Writes::PrimaryOnly), it goes to the
    /// first server.
    pub const fn write() -> Self {
        Self::new(Method::POST)
    }

    /// Returns whether the method is rejected with 405. A server returns a `TRACE` request, or
    /// Microsoft's `TRACK`, with the secret headers that the balancer has added. `CONNECT` opens a
    /// tunnel.
    pub fn is_refused(&self) -> bool {
        ["TRACE", "TRACK", "CONNECT"].iter().any(|refused| self.method.as_str().eq_ignore_ascii_case(refused))
    }

    /// Checks that a response can be passed on. `is_websocket` is whether it accepts a WebSocket.
    ///
    /// # Errors
    /// The failure. Some runtimes return an interim response as the final one, which is then
    /// unknown.
    pub fn check_response(&self, status: StatusCode, is_websocket: bool) -> Result<(), Failure> {
        match status.as_u16() {
            200..600 => Ok(()),
            101 if self.upgrade && is_websocket => Ok(()),
            101 | 600.. => Err(Failure::InvalidResponse),
            _ => Err(Failure::ConnectionLost),
        }
    }

    /// Returns whether the method only reads: the safe methods of RFC 9110, section 9.2.1, and
    /// those that RFC 4918 (`PROPFIND`), RFC 3253 (`REPORT`), RFC 5323 (`SEARCH`) and the HTTP
    /// working group (`QUERY`) define as safe.
    pub fn is_safe(&self) -> bool {
        self.method.is_safe() || matches!(self.method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
    }

    /// Returns whether running the request twice has the effect of running it once (RFC 9110,
    /// section 9.2.2), or is allowed.
    pub(crate) fn is_idempotent(&self, settings: &RetrySettings) -> bool {
        self.is_safe() || self.method.is_idempotent() || self.idempotency_key || settings.non_idempotent
    }

    /// Returns whether a failure without a known cause would be retried, so that the client never
    /// sees it.
    pub(crate) fn is_safely_retryable(&self, settings: &RetrySettings) -> bool {
        self.is_idempotent(settings) && self.body == Body::Replayable
    }

    /// Returns whether the request may run on two servers at the same time.
    pub fn is_hedgeable(&self) -> bool {
        self.is_safe() && self.body == Body::Replayable && !self.upgrade && self.affinity_server.is_none()
    }

    /// Interprets an outcome of this request.
    ///
    /// A connection that breaks while a body is streamed has no health impact, because the client
    /// may have broken it: a client that starts uploads and drops them must not eject servers.
    pub fn rule(&self, outcome: Outcome, settings: &RetrySettings) -> Ruling {
        let classification = settings.classify(outcome);
        let lost_upload = self.body == Body::Once && outcome == Outcome::Failed(Failure::ConnectionLost);
        let impact = if lost_upload { HealthImpact::Neutral } else { classification.impact };
        let may_run_again = match classification.delivery {
            Delivery::Never => true,
            Delivery::Unknown => self.is_idempotent(settings),
            Delivery::Answered => false,
        };
        // A response or a broken connection means that the body was read; without a connection it
        // is untouched.
        let untouched = matches!(outcome, Outcome::Failed(failure) if failure != Failure::Declined)
            && classification.delivery == Delivery::Never;
        let retryable = may_run_again
            && (untouched || self.body == Body::Replayable)
            && outcome != Outcome::Failed(Failure::ClientAborted);
        Ruling { delivery: classification.delivery, impact, retryable }
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
            ("safe by RFC 4918", "PROPFIND", false, Replayable, lost, true),
            ("safe by RFC 3253", "REPORT", false, Replayable, lost, true),
            ("safe by RFC 5323", "SEARCH", false, Replayable, lost, true),
            ("safe by its draft", "QUERY", false, Replayable, lost, true),
            ("not safe", "MOVE", false, Replayable, lost, false),
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
            assert_eq!(request.rule(outcome, &settings).retryable, expected, "{case}: {request:?} after {outcome:?}");
        }
    }

    #[test]
    fn only_final_responses_and_requested_upgrades_are_accepted() {
        let request = RequestMeta::new(Method::GET);
        let handshake = RequestMeta { upgrade: true, ..request.clone() };
        let (interim, invalid) = (Err(Failure::ConnectionLost), Err(Failure::InvalidResponse));
        let table = [
            (&request, 200, false, Ok(())),
            (&request, 599, false, Ok(())),
            (&handshake, 101, true, Ok(())),
            (&handshake, 101, false, invalid),
            (&request, 101, true, invalid),
            (&handshake, 100, true, interim),
            (&request, 103, false, interim),
            (&request, 600, false, invalid),
            (&request, 999, false, invalid),
        ];
        for (request, code, is_websocket, expected) in table {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(request.check_response(status, is_websocket), expected, "{code}");
        }
    }

    #[test]
    fn t27_methods_that_reveal_secrets_or_open_tunnels_are_refused() {
        let is_refused = |method: &str| RequestMeta::new(method.parse().unwrap()).is_refused();
        assert!(["TRACE", "TRACK", "CONNECT", "trace"].into_iter().all(is_refused));
        assert!(!["GET", "OPTIONS", "PROPFIND", "TRACES"].into_iter().any(is_refused));
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
            assert_eq!(request.rule(status(code), &settings).retryable, expected, "{method} after {code}");
        }
        assert_eq!(
            settings.classify(status(503)).impact,
            HealthImpact::Success,
            "a status that is passed through is not counted"
        );
    }
}
