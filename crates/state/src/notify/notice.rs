//! What is announced.

use serde::{Deserialize, Serialize};

use crate::names::name_of;

/// The kinds of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// A server became unhealthy or was ejected.
    ServerDown,
    /// It takes traffic again.
    ServerUp,
    /// No server of a service is available.
    ServiceDown,
    /// One is available again.
    ServiceUp,
    /// An operator changed something at run time.
    Control,
}

impl NoticeKind {
    /// The kinds by their names in the configuration.
    pub const NAMES: [(&str, Self); 5] = [
        ("server_down", Self::ServerDown),
        ("server_up", Self::ServerUp),
        ("service_down", Self::ServiceDown),
        ("service_up", Self::ServiceUp),
        ("control", Self::Control),
    ];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        name_of(&Self::NAMES, &self)
    }

    /// Returns whether targets without a list of events get it.
    pub(super) const fn is_default(self) -> bool {
        !matches!(self, Self::Control)
    }

    pub(super) const fn is_server(self) -> bool {
        matches!(self, Self::ServerDown | Self::ServerUp)
    }
}

/// One change. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// What changed.
    pub kind: NoticeKind,
    /// The service.
    pub service: String,
    /// The server. With a change of a service: the one that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The host of the server. Only targets with `hostnames` get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The reason code, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason for people. With a change of an operator: the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it happened.
    pub at: u64,
    /// How long the outage lasted that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_ms: Option<u64>,
    /// The server that gets the traffic, if it is a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<String>,
    /// The available servers, in the order of the configuration.
    #[serde(default)]
    pub available: Vec<String>,
    /// The number of changes that it stands for. More than 1: earlier ones were not announced.
    #[serde(default = "one")]
    pub changes: u32,
    /// Distinguishes changes at the same time. 0 for changes of operators, which a host may
    /// announce twice.
    #[serde(default)]
    pub(super) sequence: u64,
}

const fn one() -> u32 {
    1
}

impl Notice {
    /// Creates a notice without details.
    pub fn new(kind: NoticeKind, service: impl Into<String>, at: u64) -> Self {
        Self {
            kind,
            service: service.into(),
            server: None,
            host: None,
            reason: None,
            detail: None,
            at,
            outage_ms: None,
            serving: None,
            available: Vec::new(),
            changes: 1,
            sequence: 0,
        }
    }

    /// Creates the notice of a change that an operator made, or of its end. `detail` describes it:
    /// `drain by alice@laptop: new disk`.
    pub fn control(service: &str, server: Option<&str>, detail: impl Into<String>, at: u64) -> Self {
        let detail = Some(detail.into());
        Self { server: server.map(str::to_owned), detail, ..Self::new(NoticeKind::Control, service, at) }
    }

    /// Returns what it is about. Of two notices with the same subject, the newer one replaces the
    /// older one.
    pub(super) fn subject(&self) -> String {
        let (class, server) = match self.kind {
            NoticeKind::ServerDown | NoticeKind::ServerUp => ("server", self.server.as_deref()),
            NoticeKind::ServiceDown | NoticeKind::ServiceUp => ("service", None),
            NoticeKind::Control => ("control", self.server.as_deref()),
        };
        format!("{class}\n{}\n{}", self.service, server.unwrap_or_default())
    }

    /// Returns whether this change of a service was caused by the change of a server.
    pub(super) fn implies(&self, other: &Self) -> bool {
        !self.kind.is_server()
            && self.kind != NoticeKind::Control
            && other.kind.is_server()
            && (&self.service, &self.server) == (&other.service, &other.server)
    }

    /// Returns this notice, which stands for an earlier one too.
    pub(super) fn replacing(self, earlier: &Self) -> Self {
        Self { changes: self.changes.saturating_add(earlier.changes), ..self }
    }
}
