//! The stable names of the log: levels, events and reason codes.

use crate::classify::{Failure, Outcome};
use crate::local_reply::LocalReply;
use crate::service::ProbeError;

/// The level of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// The operator has to act.
    Error,
    /// A failure, which a retry may have hidden from clients.
    Warn,
    /// A normal event.
    Info,
    /// A detail.
    Debug,
}

impl LogLevel {
    /// Returns the level in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Defines an enum whose variants have stable names.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }
    };
}

codes! {
    /// The names of events.
    LogEvent {
        /// A request ended.
        Request = "request",
        /// An attempt ended without a response of the application.
        AttemptFailed = "attempt_failed",
        /// The balancer responded itself.
        LocalReply = "local_reply",
        /// A probe failed.
        ProbeFailed = "probe_failed",
        /// A server passed its health check.
        ServerHealthy = "server_healthy",
        /// A server failed its health check.
        ServerUnhealthy = "server_unhealthy",
        /// A server was ejected for failures in traffic.
        ServerEjected = "server_ejected",
        /// The ejection of a server ended.
        ServerRestored = "server_restored",
        /// A server responds to neither requests nor probes.
        ServerStalled = "server_stalled",
        /// A stalled server responds again.
        ServerStallEnded = "server_stall_ended",
        /// A reload removed or disabled a server, or changed its address: its state is gone.
        ServerRemoved = "server_removed",
        /// A reload turned the health check of a server off: its health is unknown.
        ServerUnchecked = "server_unchecked",
        /// Traffic returned to a preferred server.
        Failback = "failback",
        /// A configuration is in use.
        ConfigLoaded = "config_loaded",
        /// A configuration is valid, but probably not as intended.
        ConfigWarning = "config_warning",
        /// A configuration is invalid.
        ConfigRejected = "config_rejected",
        /// A service is not served, because its configuration is incomplete.
        ServiceUnavailable = "service_unavailable",
        /// Other certificates are in use.
        CertificateLoaded = "certificate_loaded",
        /// Connections or requests were rejected before they reached a service.
        ConnectionRejected = "connection_rejected",
        /// A notification or a heartbeat was delivered.
        NotificationSent = "notification_sent",
        /// A notification or a heartbeat was not delivered.
        NotificationFailed = "notification_failed",
        /// An operator changed a server or a service.
        ControlChanged = "control_changed",
        /// One request was made to see a server as down, hung or failing, or was forced to one.
        Drill = "drill",
        /// The time of a change is over.
        ControlExpired = "control_expired",
        /// The file of changes and history cannot be read or written.
        StateFileFailed = "state_file_failed",
        /// Health cannot be shared with a monitor: messages to it fail.
        MonitorUnreachable = "monitor_unreachable",
        /// Health is shared with a monitor.
        MonitorReachable = "monitor_reachable",
        /// The host accepts connections.
        Listening = "listening",
        /// The host shuts down: it waits for requests in flight.
        Draining = "draining",
        /// The host has shut down.
        Stopped = "stopped",
        /// The health of servers could not be shared with other processes.
        SharingFailed = "sharing_failed",
        /// Lines of the log were lost.
        LinesLost = "lines_lost",
    }
}

codes! {
    /// Why something happened. The codes are stable.
    Reason {
        /// A response with a status that counts as a failure.
        Status = "status",
        /// No connection or TLS session was established.
        ConnectFailed = "connect_failed",
        /// No response arrived in time.
        Timeout = "timeout",
        /// The server responds to neither requests nor probes.
        Unresponsive = "unresponsive",
        /// The connection broke, or the cause is unknown.
        ConnectionLost = "connection_lost",
        /// The response cannot be read or passed on.
        InvalidResponse = "invalid_response",
        /// The server declined the request, which another one may serve.
        Declined = "declined",
        /// The request could not be built.
        InvalidRequest = "invalid_request",
        /// The client did not send the whole request.
        ClientAborted = "client_aborted",
        /// The host has no file descriptor, memory, port or subrequest left.
        ResourceExhausted = "resource_exhausted",
        /// A probe was redirected to the login page of Cloudflare Access.
        AccessLogin = "access_login",
        /// A probe's response lacks the expected header.
        UnexpectedHeader = "unexpected_header",
        /// A probe's response lacks the expected string.
        UnexpectedBody = "unexpected_body",
        /// No service has the requested host and path.
        UnknownHost = "unknown_host",
        /// No server responded, or none was available.
        Unavailable = "unavailable",
        /// All servers are at their limit.
        Overloaded = "overloaded",
        /// The primary is unavailable, so that writes are rejected.
        ReadOnly = "read_only",
        /// The service is under maintenance.
        Maintenance = "maintenance",
        /// The request has passed through a balancer before.
        Loop = "loop",
        /// The request is malformed.
        BadRequest = "bad_request",
        /// The method is refused.
        MethodNotAllowed = "method_not_allowed",
        /// There is no valid configuration.
        Misconfigured = "misconfigured",
        /// A secret of the service is missing or invalid.
        MissingSecret = "missing_secret",
        /// The client disconnected before the end of the response.
        ClientDisconnected = "client_disconnected",
        /// No data arrived for the idle timeout.
        IdleTimeout = "idle_timeout",
        /// The upgrade to a WebSocket failed.
        UpgradeFailed = "upgrade_failed",
        /// One side of a WebSocket closed, and the other did not.
        CloseTimeout = "close_timeout",
        /// The host shut down before the request ended.
        Shutdown = "shutdown",
        /// The configuration is invalid.
        InvalidConfig = "invalid_config",
        /// The configuration file cannot be read.
        UnreadableFile = "unreadable_file",
        /// The certificate is invalid.
        InvalidCertificate = "invalid_certificate",
        /// The client has too many connections.
        TooManyConnections = "too_many_connections",
        /// Plain HTTP arrived where TLS is expected.
        PlainHttp = "plain_http",
        /// The TLS handshake of a client failed.
        TlsFailed = "tls_failed",
        /// A request of the control API had no token, or a wrong one.
        Unauthorized = "unauthorized",
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect => Self::ConnectFailed,
            Failure::Timeout => Self::Timeout,
            Failure::Unresponsive => Self::Unresponsive,
            Failure::ConnectionLost => Self::ConnectionLost,
            Failure::InvalidResponse => Self::InvalidResponse,
            Failure::Declined => Self::Declined,
            Failure::InvalidRequest => Self::InvalidRequest,
            Failure::ClientAborted => Self::ClientAborted,
            Failure::Local => Self::ResourceExhausted,
        }
    }
}

impl From<Outcome> for Reason {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Status(_) => Self::Status,
            Outcome::Failed(failure) => failure.into(),
        }
    }
}

impl From<ProbeError> for Reason {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Failure(failure) => failure.into(),
            ProbeError::Status(_) => Self::Status,
            ProbeError::BlockedByAccess => Self::AccessLogin,
            ProbeError::Header => Self::UnexpectedHeader,
            ProbeError::Body => Self::UnexpectedBody,
        }
    }
}

impl From<LocalReply> for Reason {
    fn from(reply: LocalReply) -> Self {
        match reply {
            LocalReply::UnknownHost => Self::UnknownHost,
            LocalReply::Unavailable { .. } => Self::Unavailable,
            LocalReply::Overloaded => Self::Overloaded,
            LocalReply::NoWrites { .. } => Self::ReadOnly,
            LocalReply::Maintenance { .. } => Self::Maintenance,
            LocalReply::TimedOut => Self::Timeout,
            LocalReply::InvalidResponse => Self::InvalidResponse,
            LocalReply::MethodNotAllowed => Self::MethodNotAllowed,
            LocalReply::Loop => Self::Loop,
            LocalReply::Incomplete => Self::ClientAborted,
            LocalReply::BadRequest => Self::BadRequest,
            LocalReply::Misconfigured => Self::Misconfigured,
            LocalReply::MissingSecret => Self::MissingSecret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_unique() {
        let mut names: Vec<&str> = LogEvent::ALL.iter().map(|event| event.as_str()).collect();
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        for all in [&mut names, &mut codes] {
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{all:?}");
        }
    }
}
