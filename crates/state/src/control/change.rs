//! One change that an operator made.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::command::Action;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The server keeps the clients that affinity gave it, and gets no new ones.
    Drain,
    /// The server is used, although the configuration disables or drains it.
    Enable,
    /// The server is neither used nor probed.
    Disable,
    /// The server has this share of the traffic.
    Weight(u32),
    /// Only this server gets requests, whatever the state of its health.
    Force,
    /// Whether the service is under maintenance.
    Maintenance(bool),
    /// Traffic returned to preferred servers. This happens once.
    Failback,
}

/// A change in force, or one that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Override {
    /// The service: host and path.
    pub service: String,
    /// The name of the server, for changes of one server.
    pub server: Option<String>,
    /// The change.
    pub change: Change,
    /// When it was made, in milliseconds since 1970.
    pub since: u64,
    /// When it ends, in milliseconds since 1970. `None`: when it is cleared or replaced.
    pub until: Option<u64>,
    /// Why it was made.
    pub comment: Option<String>,
    /// Where it was made, such as `alice@laptop`.
    pub origin: String,
    /// Whether it has ended. It is kept for a time, so that another process does not restore it.
    pub ended: bool,
    /// Whether [`Action::Clear`] ended it.
    pub cleared: bool,
}

/// The kinds of change. A new change of a kind replaces an older one of the same kind and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Maintenance,
    Force,
    Failback,
    State,
    Weight,
}

impl Change {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Drain | Self::Enable | Self::Disable => Kind::State,
            Self::Weight(_) => Kind::Weight,
            Self::Force => Kind::Force,
            Self::Maintenance(_) => Kind::Maintenance,
            Self::Failback => Kind::Failback,
        }
    }

    /// Returns the name of the action that makes it.
    pub const fn action(self) -> Action {
        match self {
            Self::Drain => Action::Drain,
            Self::Enable => Action::Enable,
            Self::Disable => Action::Disable,
            Self::Weight(_) => Action::Weight,
            Self::Force => Action::Force,
            Self::Maintenance(_) => Action::Maintenance,
            Self::Failback => Action::Failback,
        }
    }

    /// Returns the change in words: `drain`, `weight 5` or `maintenance on`.
    pub fn describe(self) -> String {
        let action = self.action().as_str();
        match self {
            Self::Weight(weight) => format!("{action} {weight}"),
            Self::Maintenance(on) => format!("{action} {}", if on { "on" } else { "off" }),
            _ => action.to_owned(),
        }
    }
}

impl Override {
    /// Returns whether it has an effect at a time.
    pub fn is_in_force(&self, now: u64) -> bool {
        !self.ended && self.until.is_none_or(|until| now < until)
    }

    /// Returns the change in words: `drain`, or `drain cleared`.
    pub fn describe(&self) -> String {
        let change = self.change.describe();
        if self.cleared { format!("{change} cleared") } else { change }
    }

    /// Returns the place that only one change can have.
    pub(super) fn place(&self) -> (&str, &str, Kind) {
        let kind = self.change.kind();
        let server = self.server.as_deref().filter(|_| kind != Kind::Force);
        (&self.service, server.unwrap_or_default(), kind)
    }

    /// Compares two changes of the same place: the greater one is in force. The order is total, so
    /// that all processes agree.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.since, it.ended, it.cleared, it.until, it.change);
        let words = |it: &Self| (it.server.clone(), it.comment.clone(), it.origin.clone());
        key(self).cmp(&key(other)).then_with(|| words(self).cmp(&words(other)))
    }
}

/// The form of an [`Override`] in JSON: flat, with the value of a change beside its action.
#[derive(Serialize, Deserialize)]
struct Record {
    action: Action,
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    origin: String,
    #[serde(default, skip_serializing_if = "is_false")]
    ended: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    cleared: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde expects")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl From<Override> for Record {
    fn from(it: Override) -> Self {
        let weight = if let Change::Weight(weight) = it.change { Some(weight) } else { None };
        let on = if let Change::Maintenance(on) = it.change { Some(on) } else { None };
        let action = it.change.action();
        let Override { service, server, since, until, comment, origin, ended, cleared, .. } = it;
        Self { action, service, server, weight, on, since, until, comment, origin, ended, cleared }
    }
}

impl TryFrom<Record> for Override {
    type Error = &'static str;

    fn try_from(it: Record) -> Result<Self, &'static str> {
        let change = it.action.change(it.weight, it.on).ok_or("the value of the action is missing")?;
        let Record { service, server, since, until, comment, origin, ended, cleared, .. } = it;
        Ok(Self { service, server, change, since, until, comment, origin, ended, cleared })
    }
}
