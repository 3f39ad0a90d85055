//! Replies that the balancer itself makes.
//!
//! Their messages are constant: an error message may contain a hostname, and clients must not learn
//! the names of servers. Without a server's response the status is 503 rather than 502, because
//! Cloudflare's edge may replace the body of a 502 or 504. A 502 is for a response that cannot be
//! passed on.

use std::time::Duration;

use http::StatusCode;

use crate::log::Reason;

/// Why a client gets a reply of the balancer.
/// [`ReplyContext::respond`](crate::ReplyContext::respond) renders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalReply {
    /// No service has the requested host and path.
    UnknownHost,
    /// No server responded, or none was available.
    Unavailable {
        /// When to try again, in whole seconds.
        retry_after: u64,
    },
    /// All servers that could serve the request are at their limit.
    Overloaded,
    /// The primary, which alone takes writes, is unavailable.
    NoWrites {
        /// When to try again, in whole seconds.
        retry_after: u64,
    },
    /// The service is under maintenance.
    Maintenance {
        /// When to try again, in whole seconds.
        retry_after: u64,
    },
    /// The request timed out.
    TimedOut,
    /// The server's response cannot be read or passed on.
    InvalidResponse,
    /// The method is refused: see [`RequestMeta::is_refused`](crate::RequestMeta::is_refused).
    MethodNotAllowed,
    /// The request has passed through a balancer before.
    Loop,
    /// The client did not send the whole of its request.
    Incomplete,
    /// The request is malformed.
    BadRequest,
    /// There is no valid configuration.
    Misconfigured,
    /// A secret of the service is missing or invalid.
    MissingSecret,
}

impl LocalReply {
    /// Creates the reply for a request without a response. The client may try again after `wait`,
    /// rounded up to whole seconds.
    pub const fn unavailable(wait: Duration) -> Self {
        Self::Unavailable { retry_after: whole_seconds(wait) }
    }

    /// Creates the reply for a write without a primary. The client may try again after `wait`,
    /// rounded up to whole seconds.
    pub const fn no_writes(wait: Duration) -> Self {
        Self::NoWrites { retry_after: whole_seconds(wait) }
    }

    /// Creates the reply for a service under maintenance, which ends after `rest`, rounded up to
    /// whole seconds. `None`: its end is unknown, and the client may try again after 5 minutes.
    pub const fn maintenance(rest: Option<Duration>) -> Self {
        let wait = match rest {
            Some(rest) => rest,
            None => MAINTENANCE_RETRY_AFTER,
        };
        Self::Maintenance { retry_after: whole_seconds(wait) }
    }

    /// Returns the status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Unavailable { .. }
            | Self::Overloaded
            | Self::NoWrites { .. }
            | Self::Maintenance { .. }
            | Self::MissingSecret => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::InvalidResponse => StatusCode::BAD_GATEWAY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Incomplete | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the status with its reason phrase. The table of `http` for all statuses would add
    /// some kilobytes to a Worker.
    pub(crate) const fn status_line(self) -> (u16, &'static str) {
        let reason = match self.status() {
            StatusCode::BAD_REQUEST => "Bad Request",
            StatusCode::NOT_FOUND => "Not Found",
            StatusCode::METHOD_NOT_ALLOWED => "Method Not Allowed",
            StatusCode::BAD_GATEWAY => "Bad Gateway",
            StatusCode::SERVICE_UNAVAILABLE => "Service Unavailable",
            StatusCode::GATEWAY_TIMEOUT => "Gateway Timeout",
            StatusCode::LOOP_DETECTED => "Loop Detected",
            _ => "Internal Server Error",
        };
        (self.status().as_u16(), reason)
    }

    /// Returns the message for users: one or two sentences.
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownHost => "No service is configured for this address.",
            Self::Unavailable { .. } => "No server responded. Please try again in a moment.",
            Self::Overloaded => "All servers are busy. Please try again in a moment.",
            Self::NoWrites { .. } => "Only reading is possible at the moment.",
            Self::Maintenance { .. } => "This service is under maintenance. Please try again later.",
            Self::TimedOut => "No server responded in time.",
            Self::InvalidResponse => "The response of the server is invalid.",
            Self::MethodNotAllowed => "This method is not allowed.",
            Self::Loop => "This request has already passed through a load balancer.",
            Self::Incomplete => "The request ended before its body did.",
            Self::BadRequest => "The request is malformed.",
            Self::Misconfigured => "The load balancer has no valid configuration. See its log.",
            Self::MissingSecret => "This service is not completely configured. See the log of the load balancer.",
        }
    }

    /// Returns the stable code for programs. Logs have the same.
    pub fn code(self) -> &'static str {
        Reason::from(self).as_str()
    }

    /// Returns the value of the `Allow` header, if the reply has one: the methods of RFC 9110 and
    /// RFC 5789 that are passed on.
    pub const fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            _ => None,
        }
    }

    /// Returns the value of the `Retry-After` header, if the reply has one.
    pub const fn retry_after(self) -> Option<u64> {
        match self {
            Self::Unavailable { retry_after } | Self::NoWrites { retry_after } | Self::Maintenance { retry_after } => {
                Some(retry_after)
            }
            Self::Overloaded => Some(1),
            _ => None,
        }
    }
}

/// When to try again during maintenance whose end is not known.
const MAINTENANCE_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Rounds up to whole seconds, at least 1 and at most an hour.
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
