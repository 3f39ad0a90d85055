//! The answers that are ours and no server's.
//!
//! Their texts are fixed: the text of an error may hold a hostname, and whoever asks must not learn the names behind the
//! public one. The status is 503 rather than 502 where nobody answered, since Cloudflare's edge may replace the body of a
//! 502 or 504.

use std::time::Duration;

use http::StatusCode;

/// Why a client gets no server's answer. [`answer`](Self::answer) puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalReply {
    /// No service has the host that was asked for.
    UnknownHost,
    /// Nobody answered.
    Unavailable {
        /// When to ask again, in whole seconds.
        retry_after: u64,
    },
    /// Every server that could serve it is as busy as it may be.
    Overloaded,
    /// The one server that takes writes is away.
    NoWrites {
        /// When to ask again, in whole seconds.
        retry_after: u64,
    },
    /// The time for the request ran out.
    TimedOut,
    /// The request has been through a balancer before.
    Loop,
    /// The client did not send the whole of its request.
    Incomplete,
    /// It is not clear whom the request is for.
    BadRequest,
    /// There is no valid configuration.
    Misconfigured,
}

impl LocalReply {
    /// Nobody answered; asking again makes sense after `wait`, rounded up to 1 s at least.
    pub const fn unavailable(wait: Duration) -> Self {
        Self::Unavailable { retry_after: whole_seconds(wait) }
    }

    /// Only reading is possible; asking again makes sense after `wait`, rounded up to 1 s at least.
    pub const fn no_writes(wait: Duration) -> Self {
        Self::NoWrites { retry_after: whole_seconds(wait) }
    }

    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Unavailable { .. } | Self::Overloaded | Self::NoWrites { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Incomplete | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What a person is told: one or two sentences.
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownHost => "No service is configured for this address.",
            Self::Unavailable { .. } => "No server answered. Please try again in a moment.",
            Self::Overloaded => "All servers are busy. Please try again in a moment.",
            Self::NoWrites { .. } => "Only reading is possible at the moment.",
            Self::TimedOut => "No server answered in time.",
            Self::Loop => "This request has already passed a balancer.",
            Self::Incomplete => "The request ended before its body did.",
            Self::BadRequest => "It is not clear whom this request is for.",
            Self::Misconfigured => "The balancer has no valid configuration. Its log says why.",
        }
    }

    /// What a program is told, and a log: one word that never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown-host",
            Self::Unavailable { .. } => "unavailable",
            Self::Overloaded => "overloaded",
            Self::NoWrites { .. } => "read-only",
            Self::TimedOut => "timeout",
            Self::Loop => "loop",
            Self::Incomplete => "incomplete",
            Self::BadRequest => "bad-request",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// The `Retry-After` header, where there is one.
    pub const fn retry_after(self) -> Option<u64> {
        match self {
            Self::Unavailable { retry_after } | Self::NoWrites { retry_after } => Some(retry_after),
            Self::Overloaded => Some(1),
            _ => None,
        }
    }
}

/// Rounded up; at least 1, and at most an hour: no ejection is as long.
const fn whole_seconds(wait: Duration) -> u64 {
    let seconds = wait.as_millis().div_ceil(1000);
    if seconds == 0 {
        1
    } else if seconds > 3600 {
        3600
    } else {
        seconds as u64
    }
}
