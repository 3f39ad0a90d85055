//! The entries of the log: event names, levels and reason codes that all hosts share.
//!
//! An entry is a plain value. The host adds the time and writes it as one line. `docs/logs.md`
//! lists all events, fields and codes.

mod names;

use std::time::Duration;

use crate::attempt::AttemptInfo;
use crate::classify::{Failure, Outcome};
use crate::drill::Drill;
use crate::local_reply::LocalReply;
use crate::pool::{Event, Transition};
use crate::proxy::{ReplyContext, RequestId, Services};
use crate::server_set::ServerId;
use crate::service::Service;

pub use names::{LogEvent, LogLevel, Reason};

/// One entry of the log. Hosts write the fields in this order, without those that are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// How serious it is.
    pub level: LogLevel,
    /// The name of the event.
    pub event: LogEvent,
    /// The service.
    pub service: Option<String>,
    /// The server.
    pub server: Option<&'a str>,
    /// The id of the client's request.
    pub request_id: Option<&'a str>,
    /// Why it happened, for programs.
    pub reason: Option<Reason>,
    /// Why it happened, for people.
    pub detail: Option<String>,
    /// The duration that [`event`](Self::event) defines.
    pub duration: Option<Duration>,
    /// The number of an attempt within its request, from 1.
    pub attempt: Option<u32>,
    /// The status of a response.
    pub status: Option<u16>,
    /// The host of the client's request.
    pub host: Option<String>,
    /// The file or variable of a configuration, or the origin of a change.
    pub source: Option<&'a str>,
    /// The number of services of a configuration.
    pub services: Option<usize>,
    /// The number of servers of a configuration.
    pub servers: Option<usize>,
}

impl<'a> LogEntry<'a> {
    /// The maximum length of values that clients choose.
    pub const MAX_CLIENT_CHARS: usize = 1024;

    /// Creates an entry without fields.
    pub const fn new(level: LogLevel, event: LogEvent) -> Self {
        Self {
            level,
            event,
            service: None,
            server: None,
            request_id: None,
            reason: None,
            detail: None,
            duration: None,
            attempt: None,
            status: None,
            host: None,
            source: None,
            services: None,
            servers: None,
        }
    }

    /// Creates the entry of a state change in the pool of `service`.
    pub fn transition(event: Event, service: &'a Service) -> Self {
        let change = event.change;
        Self {
            service: Some(service.name()),
            server: server_name(service, event.server),
            reason: change.reason(),
            detail: change.detail(),
            duration: match change {
                Transition::Ejected { duration, .. } => Some(duration),
                _ => None,
            },
            ..Self::new(change.level(), change.event())
        }
    }

    /// Creates the entry of a failed attempt at `service`.
    pub fn attempt_failed(attempt: &'a FailedAttempt, service: &'a Service, id: &'a RequestId) -> Self {
        Self {
            service: Some(service.name()),
            server: server_name(service, attempt.info.server),
            request_id: Some(id.as_str()),
            reason: Some(attempt.outcome.into()),
            detail: Some(attempt.detail.clone().unwrap_or_else(|| attempt.outcome.to_string())),
            duration: Some(attempt.duration),
            attempt: Some(attempt.info.number),
            status: match attempt.outcome {
                Outcome::Status(status) => Some(status.as_u16()),
                Outcome::Failed(_) => None,
            },
            ..Self::new(LogLevel::Warn, LogEvent::AttemptFailed)
        }
    }

    /// Creates the entry of a drill of a request to `service`.
    pub fn drill(drill: Drill, service: &'a Service, id: &'a RequestId) -> Self {
        Self {
            service: Some(service.name()),
            server: server_name(service, drill.server),
            request_id: Some(id.as_str()),
            detail: Some(drill.kind.as_str().to_owned()),
            ..Self::new(LogLevel::Info, LogEvent::Drill)
        }
    }

    /// Creates the entry of a local reply. `service` is the service of the request, if it is known,
    /// and `server` the name of the server of its last attempt. `host` is the host that the client
    /// requested. If it is unknown, it is logged with the similar hosts.
    pub fn local_reply(
        reply: LocalReply,
        service: Option<&'a Service>,
        server: Option<&'a str>,
        context: &'a ReplyContext,
        host: Option<&str>,
    ) -> Self {
        let is_unknown = reply == LocalReply::UnknownHost;
        let similar = Some(context.similar_hosts().join(", ")).filter(|similar| is_unknown && !similar.is_empty());
        // Maintenance is intended.
        let is_failure = reply.status().is_server_error() && !matches!(reply, LocalReply::Maintenance { .. });
        let level = if is_failure { LogLevel::Warn } else { LogLevel::Info };
        Self {
            service: service.map(Service::name),
            server,
            request_id: Some(context.id().as_str()),
            reason: Some(reply.into()),
            detail: similar.map(|hosts| format!("similar: {hosts}")),
            status: Some(reply.status().as_u16()),
            host: host.filter(|_| is_unknown).map(|host| host.chars().take(Self::MAX_CLIENT_CHARS).collect()),
            ..Self::new(level, LogEvent::LocalReply)
        }
    }

    /// Creates the entry of a configuration that is in use.
    pub fn config_loaded(services: &Services, source: &'a str) -> Self {
        Self {
            source: Some(source),
            services: Some(services.pools().count()),
            servers: Some(services.pools().map(|pool| pool.service().servers().len()).sum()),
            ..Self::new(LogLevel::Info, LogEvent::ConfigLoaded)
        }
    }

    /// Creates the entry of an invalid configuration or certificate.
    pub fn config_rejected(source: &'a str, reason: Reason, detail: String) -> Self {
        Self {
            reason: Some(reason),
            detail: Some(detail),
            source: Some(source),
            ..Self::new(LogLevel::Error, LogEvent::ConfigRejected)
        }
    }

    /// Creates the entry of a service that is not served, because its secrets are missing. `errors`
    /// names them.
    pub fn missing_secret(address: &str, source: &'a str, errors: String) -> Self {
        Self {
            service: Some(address.to_owned()),
            reason: Some(Reason::MissingSecret),
            detail: Some(errors),
            source: Some(source),
            ..Self::new(LogLevel::Error, LogEvent::ServiceUnavailable)
        }
    }

    /// Creates the entry of a status page without its token, because the secret is missing.
    /// `errors` names it.
    pub fn status_without_secret(source: &'a str, errors: String) -> Self {
        Self {
            reason: Some(Reason::MissingSecret),
            detail: Some(errors),
            source: Some(source),
            ..Self::new(LogLevel::Warn, LogEvent::ConfigWarning)
        }
    }

    /// Creates the entry of a failed probe of a server of `service`. Of a server that was
    /// `unhealthy` before, it is a detail.
    pub fn probe_failed(
        service: &'a Service,
        server: &'a str,
        unhealthy: bool,
        failure: Failure,
        detail: Option<String>,
    ) -> Self {
        let level = if unhealthy { LogLevel::Debug } else { LogLevel::Warn };
        Self {
            service: Some(service.name()),
            server: Some(server),
            reason: Some(failure.into()),
            detail: Some(detail.unwrap_or_else(|| failure.to_string())),
            ..Self::new(level, LogEvent::ProbeFailed)
        }
    }

    /// Returns the duration in whole milliseconds.
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// An attempt that ended without a response of the application. See
/// [`HttpClient::on_attempt_failed`](crate::HttpClient::on_attempt_failed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The facts of the attempt.
    pub info: AttemptInfo,
    /// How it ended.
    pub outcome: Outcome,
    /// The cause, from [`UpstreamError::detail`](crate::UpstreamError::detail).
    pub detail: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// Escapes the characters that a terminal hides or obeys, in a line of JSON: control characters
/// beyond ASCII, line separators, and invisible and bidirectional formatting characters.
pub fn escape_invisible(json: String) -> String {
    // Most strings are plain, which is found without a branch per byte.
    let is_plain = json.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte));
    if is_plain || !json.contains(is_invisible) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_invisible(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn server_name(service: &Service, id: ServerId) -> Option<&str> {
    service.server(id).map(|server| server.name.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::StatusCode;

    use super::*;
    use crate::service::ProbeError;
    use crate::service::Server;
    use crate::time::Timestamp;

    #[test]
    fn a_change_names_the_service_the_server_and_the_reason() {
        let service = Service::new("app.test/api", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let entry = |change| {
            let event = Event { at: Timestamp::ZERO, server: ServerId::new(0).unwrap(), change };
            LogEntry::transition(event, &service)
        };
        let outcome = Outcome::Status(StatusCode::BAD_GATEWAY);
        let ejected = entry(Transition::Ejected { outcome, duration: Duration::from_secs(10) });
        assert_eq!((ejected.service.as_deref(), ejected.server), (Some("app.test/api"), Some("a")));
        assert_eq!((ejected.level, ejected.event), (LogLevel::Warn, LogEvent::ServerEjected));
        assert_eq!((ejected.reason, ejected.detail.as_deref()), (Some(Reason::Status), Some("status 502")));
        assert_eq!(ejected.duration_ms(), Some(10_000));
        let table = [
            (Transition::Healthy, "server_healthy", None),
            (Transition::Unhealthy(ProbeError::BlockedByAccess), "server_unhealthy", Some("access_login")),
            (Transition::Unhealthy(ProbeError::Failure(Failure::Connect)), "server_unhealthy", Some("connect_failed")),
            (Transition::Unejected, "server_restored", None),
            (Transition::Stalled, "server_stalled", Some("unresponsive")),
            (Transition::StallEnded, "server_stall_ended", None),
            (Transition::Failback, "failback", None),
        ];
        for (change, event, reason) in table {
            let entry = entry(change);
            assert_eq!((entry.event.as_str(), entry.reason.map(Reason::as_str)), (event, reason), "{change:?}");
        }
    }

    #[test]
    fn the_entry_of_an_unknown_host_has_the_host() {
        let (context, host) = (ReplyContext::new(None, RequestId::random(1)), "h".repeat(2_000));
        let context = context.with_similar_hosts(vec!["app.test".to_owned(), "www.app.test".to_owned()]);
        let entry = LogEntry::local_reply(LocalReply::UnknownHost, None, None, &context, Some(&host));
        assert_eq!(entry.detail.as_deref(), Some("similar: app.test, www.app.test"));
        assert_eq!(entry.host.map(|host| host.len()), Some(LogEntry::MAX_CLIENT_CHARS));
        let other = LogEntry::local_reply(LocalReply::BadRequest, None, None, &context, Some(&host));
        assert_eq!((other.host, other.detail), (None, None));
    }

    #[test]
    fn only_the_first_failed_probes_of_an_outage_are_warnings() {
        let service = Service::new("app.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let level = |unhealthy| LogEntry::probe_failed(&service, "a", unhealthy, Failure::Connect, None).level;
        assert_eq!((level(false), level(true)), (LogLevel::Warn, LogLevel::Debug));
    }

    #[test]
    fn the_documentation_lists_all_events_and_reasons() {
        let docs = include_str!("../../../../docs/logs.md");
        let rows = |title: &str| -> Vec<&str> {
            let (_, section) = docs.split_once(&format!("\n## {title}\n")).unwrap();
            let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
        };
        let events: Vec<&str> = LogEvent::ALL.iter().map(|event| event.as_str()).collect();
        let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let check = |title: &str, listed: Vec<&str>, defined: Vec<&str>| {
            let (listed, defined) = (BTreeSet::from_iter(listed), BTreeSet::from_iter(defined));
            let missing: Vec<_> = defined.difference(&listed).collect();
            assert!(missing.is_empty(), "docs/logs.md, {title}: rows are missing for {missing:?}");
            let unknown: Vec<_> = listed.difference(&defined).collect();
            assert!(unknown.is_empty(), "docs/logs.md, {title}: the code does not define {unknown:?}");
        };
        let listed = rows("Events").into_iter().filter(|name| name.contains('_') || events.contains(name)).collect();
        check("Events", listed, events);
        check("Reasons", rows("Reasons"), reasons);
    }

    #[test]
    fn invisible_characters_are_escaped() {
        let line = "{\"path\":\"/a\u{202e}\u{2028}\u{200b}\u{85}\u{e9}\"}".to_owned();
        assert_eq!(escape_invisible(line), "{\"path\":\"/a\\u202e\\u2028\\u200b\\u0085\u{e9}\"}");
        assert_eq!(escape_invisible("plain".to_owned()), "plain");
        // Tags and variation selectors hide text in a line that seems short.
        assert_eq!(escape_invisible("a\u{e0041}\u{fe0f}b".to_owned()), "a\\udb40\\udc41\\ufe0fb");
    }
}
