//! What happened: transitions of servers, and changes that operators made.

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Event, LogEntry, LogEvent, Service};

use crate::control::{Action, Change, Override};

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it happened, in milliseconds since 1970.
    pub at: u64,
    /// The name of the event in the log, such as `server_unhealthy` or `control_changed`.
    pub event: String,
    /// The service: host and path.
    pub service: String,
    /// The name of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The code of the reason in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was changed, or the reason for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Until when a change lasts, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why the operator made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Where the operator made the change, or the process that reported the transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl HistoryEntry {
    /// The event of a change that an operator made.
    pub const CHANGED: &'static str = LogEvent::ControlChanged.as_str();
    /// The event of a change whose time is over.
    const EXPIRED: &'static str = LogEvent::ControlExpired.as_str();

    /// Creates the entry of a transition in the pool of `service`, whose clock shows milliseconds
    /// since 1970.
    pub fn transition(event: Event, service: &Service) -> Self {
        let entry = LogEntry::transition(event, service);
        Self {
            at: event.at.as_millis(),
            event: entry.event.as_str().to_owned(),
            service: service.name(),
            server: entry.server.map(str::to_owned),
            reason: entry.reason.map(|reason| reason.as_str().to_owned()),
            detail: entry.detail,
            until: None,
            comment: None,
            origin: None,
        }
    }

    /// Creates the entry of a change.
    pub(crate) fn changed(change: &Override) -> Self {
        Self { until: change.until, ..Self::of(change, Self::CHANGED) }
    }

    /// Creates the entry of a change whose time is over.
    pub(crate) fn expired(change: &Override) -> Self {
        let at = change.until.unwrap_or(change.since);
        Self { at, ..Self::of(change, Self::EXPIRED) }
    }

    fn of(change: &Override, event: &str) -> Self {
        Self {
            at: change.since,
            event: event.to_owned(),
            service: change.service.clone(),
            server: change.server.clone(),
            reason: None,
            detail: Some(change.describe()),
            until: None,
            comment: change.comment.clone(),
            origin: Some(change.origin.clone()),
        }
    }

    /// Returns whether the entry starts (`true`) or ends (`false`) maintenance of its service.
    pub fn maintenance(&self) -> Option<bool> {
        let detail = self.detail.as_deref().filter(|_| self.is_control())?;
        let is_start = || self.event == Self::CHANGED && detail == Change::Maintenance(true).describe();
        detail.starts_with(Action::Maintenance.as_str()).then(is_start)
    }

    /// Returns whether an operator caused it.
    fn is_control(&self) -> bool {
        self.event == Self::CHANGED || self.event == Self::EXPIRED
    }
}

/// The entries of 30 days, oldest first. Both kinds are bounded by number, too, so that a server
/// that flaps does not displace what operators did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<HistoryEntry>);

/// Which entries are returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Only those of this service.
    pub service: Option<String>,
    /// Only those of this server.
    pub server: Option<String>,
    /// Only those before this time, in milliseconds since 1970.
    pub before: Option<u64>,
    /// At most this number, the newest ones.
    pub limit: Option<usize>,
}

impl History {
    /// The age of the oldest entry, in milliseconds: 30 days.
    pub const MAX_AGE: u64 = 30 * 24 * 3_600_000;
    /// The largest number of transitions.
    pub const MAX_TRANSITIONS: usize = 1000;
    /// The largest number of changes by operators.
    const MAX_CHANGES: usize = 500;

    /// Adds an entry, and removes those that are too old or too many.
    pub fn push(&mut self, entry: HistoryEntry, now: u64) {
        if self.insert(entry) {
            self.trim(now);
        }
    }

    /// Adds the entries of another history that this one does not have. The result does not depend
    /// on the order of merges.
    pub fn merge(&mut self, other: &Self, now: u64) {
        let mut added = false;
        for entry in &other.0 {
            added |= self.insert(entry.clone());
        }
        if added {
            self.trim(now);
        }
    }

    /// Returns all entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.0.iter()
    }

    /// Returns the entries of one service.
    pub(crate) fn of_service(&self, service: &str) -> Self {
        Self(self.0.iter().filter(|entry| entry.service == service).cloned().collect())
    }

    /// Returns since when no transition was removed because there were too many. 0: none was.
    pub(crate) fn complete_since(&self) -> u64 {
        let mut transitions = self.0.iter().filter(|entry| !entry.is_control());
        let oldest = transitions.next().map_or(0, |oldest| oldest.at);
        if transitions.count() + 1 < Self::MAX_TRANSITIONS { 0 } else { oldest }
    }

    /// Returns the entries that a filter selects, newest first.
    pub fn query(&self, filter: &HistoryFilter) -> impl Iterator<Item = &HistoryEntry> {
        let is_selected = |entry: &&HistoryEntry| {
            filter.service.as_ref().is_none_or(|service| entry.service == *service)
                && filter.server.as_ref().is_none_or(|server| entry.server.as_ref() == Some(server))
                && filter.before.is_none_or(|before| entry.at < before)
        };
        self.0.iter().rev().filter(is_selected).take(filter.limit.unwrap_or(usize::MAX))
    }

    /// Returns the number of entries.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Inserts an entry at its place. Returns whether it is new.
    fn insert(&mut self, entry: HistoryEntry) -> bool {
        match self.0.binary_search(&entry) {
            Ok(_) => false,
            Err(index) => {
                self.0.insert(index, entry);
                true
            }
        }
    }

    fn trim(&mut self, now: u64) {
        let oldest = now.saturating_sub(Self::MAX_AGE);
        let mut excess = [(false, Self::MAX_TRANSITIONS), (true, Self::MAX_CHANGES)].map(|(is_control, most)| {
            let kept = |entry: &&HistoryEntry| entry.is_control() == is_control && entry.at >= oldest;
            self.0.iter().filter(kept).count().saturating_sub(most)
        });
        self.0.retain(|entry| {
            let [transitions, changes] = &mut excess;
            let excess = if entry.is_control() { changes } else { transitions };
            let is_excess = entry.at >= oldest && *excess > 0;
            *excess -= usize::from(is_excess);
            entry.at >= oldest && !is_excess
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_start_and_end_maintenance() {
        let change = |change, cleared| Override {
            service: "app.test".to_owned(),
            server: None,
            change,
            since: 0,
            until: Some(1_000),
            comment: None,
            origin: "api".to_owned(),
            ended: cleared,
            cleared,
        };
        let table = [
            (HistoryEntry::changed(&change(Change::Maintenance(true), false)), Some(true)),
            (HistoryEntry::changed(&change(Change::Maintenance(true), true)), Some(false)),
            (HistoryEntry::expired(&change(Change::Maintenance(true), false)), Some(false)),
            (HistoryEntry::changed(&change(Change::Maintenance(false), false)), Some(false)),
            (HistoryEntry::changed(&change(Change::Failback, false)), None),
        ];
        for (entry, expected) in table {
            assert_eq!(entry.maintenance(), expected, "{entry:?}");
        }
        let entry = HistoryEntry::changed(&change(Change::Maintenance(true), false));
        let observed = HistoryEntry { event: LogEvent::ServerUnhealthy.as_str().to_owned(), ..entry };
        assert_eq!(observed.maintenance(), None, "a detail of a transition");
    }
}
