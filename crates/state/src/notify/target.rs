//! Where notifications are sent.

use std::fmt;
use std::time::Duration;

use tunnel_balancer_core::hash;

use super::notice::{Notice, NoticeKind};
use crate::names::name_of;

/// The services that are notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetKind {
    /// Any service: a POST with a JSON object.
    Json,
    /// A topic of an ntfy server.
    Ntfy,
    /// A webhook of Discord.
    Discord,
    /// A webhook of Slack, or of a compatible service.
    Slack,
    /// A Gotify server.
    Gotify,
    /// A monitor that expects a request at an interval.
    Heartbeat,
}

impl TargetKind {
    /// The kinds by their names in the configuration.
    pub const NAMES: [(&str, Self); 6] = [
        ("json", Self::Json),
        ("ntfy", Self::Ntfy),
        ("discord", Self::Discord),
        ("slack", Self::Slack),
        ("gotify", Self::Gotify),
        ("heartbeat", Self::Heartbeat),
    ];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        name_of(&Self::NAMES, &self)
    }
}

/// One entry of `notify`. Its URL, token and headers may be secrets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifyTarget {
    /// The service.
    pub kind: TargetKind,
    /// The URL of the topic, webhook, server or monitor.
    pub url: String,
    /// The token, for services that have one apart from the URL.
    pub token: Option<String>,
    /// Further headers of each request.
    pub headers: Vec<(String, String)>,
    /// The services whose changes are announced. Empty: all.
    pub services: Vec<String>,
    /// The kinds of changes that are announced. Empty: all outages and their ends.
    pub events: Vec<NoticeKind>,
    /// Whether the hosts of servers are included. Default: no.
    pub hostnames: bool,
    /// The interval of a heartbeat. Default 60 s.
    pub interval: Duration,
}

impl NotifyTarget {
    /// Creates a target with the default settings.
    pub fn new(kind: TargetKind, url: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.into(),
            token: None,
            headers: Vec::new(),
            services: Vec::new(),
            events: Vec::new(),
            hostnames: false,
            interval: Duration::from_secs(60),
        }
    }

    /// Returns the kind and the host of the URL, for logs. The rest of a URL may be a secret.
    pub fn name(&self) -> String {
        let (_, rest) = self.url.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{} {host}", self.kind.as_str())
    }

    /// Returns whether a notice is sent to this target.
    pub(super) fn wants(&self, notice: &Notice) -> bool {
        let is_listed =
            if self.events.is_empty() { notice.kind.is_default() } else { self.events.contains(&notice.kind) };
        self.kind != TargetKind::Heartbeat
            && is_listed
            && (self.services.is_empty() || self.services.contains(&notice.service))
    }

    /// Returns a hash that identifies it in stored state, across changes of the order.
    pub(super) fn key(&self) -> u64 {
        let token = self.token.as_deref().unwrap_or_default();
        hash::key(format!("{}\n{}\n{token}", self.kind.as_str(), self.url).as_bytes())
    }
}

impl fmt::Debug for NotifyTarget {
    /// Omits what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyTarget")
            .field("kind", &self.kind)
            .field("services", &self.services)
            .field("events", &self.events)
            .field("hostnames", &self.hostnames)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_debug_output_have_no_secrets() {
        let url = "https://user:hunter2@hooks.example:8443/services/hunter2?key=hunter2#hunter2";
        let target = NotifyTarget {
            token: Some("hunter2".to_owned()),
            headers: vec![("x-key".to_owned(), "hunter2".to_owned())],
            ..NotifyTarget::new(TargetKind::Slack, url)
        };
        assert_eq!(target.name(), "slack hooks.example:8443");
        assert!(!format!("{target:?}").contains("hunter2"));
        for url in ["hunter2", "https:hunter2", "https://h\\hunter2", "https://h?hunter2"] {
            assert!(!NotifyTarget::new(TargetKind::Json, url).name().contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn filters_apply() {
        let notice = |kind, service| Notice::new(kind, service, 0);
        let all = NotifyTarget::new(TargetKind::Ntfy, "https://ntfy.example/t");
        assert!(all.wants(&notice(NoticeKind::ServerUp, "a.test")));
        assert!(!all.wants(&notice(NoticeKind::Control, "a.test")));
        let some = NotifyTarget {
            services: vec!["a.test".to_owned()],
            events: vec![NoticeKind::Control, NoticeKind::ServerDown],
            ..all
        };
        assert!(some.wants(&notice(NoticeKind::Control, "a.test")));
        assert!(!some.wants(&notice(NoticeKind::Control, "b.test")));
        assert!(!some.wants(&notice(NoticeKind::ServerUp, "a.test")));
        assert!(!NotifyTarget { kind: TargetKind::Heartbeat, ..some }.wants(&notice(NoticeKind::Control, "a.test")));
    }
}
