//! Control at run time: what operators change without an edit of the configuration.
//!
//! A [`Command`] becomes an [`Override`], which lasts until it is cleared or its time is over.
//! [`Overrides`] holds one of each kind for a server or a service, and
//! [`apply`](Overrides::apply) returns the service as the configuration and the overrides make it.
//! A host passes the result to [`Services::reloaded`](tunnel_balancer_core::Services::reloaded), so
//! that servers keep their state.
//!
//! [`Control`] adds the history, and responds to the requests of the control API.

mod announcement;
mod apply;
mod auth;
mod change;
mod command;
mod error;
mod http;
mod overrides;
mod report;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::Service;

use crate::history::{History, HistoryEntry};

pub use auth::{Failures, Token, TokenError, Tokens};
pub use change::{Change, Override};
pub use command::{Action, Command};
pub use error::ControlError;
pub use http::{CONTROL_PATH, ControlOutcome, ControlRequest, ControlResponse};
pub use overrides::Overrides;
pub use report::{ListedService, changes_json};

/// What operators changed, and what happened. It is stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// The changes in force.
    pub overrides: Overrides,
    /// The changes and the transitions of servers so far.
    pub history: History,
    /// When the history began, in milliseconds since 1970. 0: see [`begin`](Self::begin).
    pub since: u64,
}

impl Control {
    /// Records that the history begins, unless it has begun.
    pub fn begin(&mut self, now: u64) {
        if self.since == 0 {
            self.since = self.history.iter().next().map_or(now, |oldest| oldest.at.min(now));
        }
    }

    /// Returns since when the history has all transitions, in milliseconds since 1970. `None`: it
    /// has not begun.
    pub fn history_since(&self, now: u64) -> Option<u64> {
        let kept = now.saturating_sub(History::MAX_AGE).max(self.history.complete_since());
        (self.since > 0).then_some(self.since.max(kept))
    }

    /// Carries out a command. `services` are those of the configuration. Returns the overrides that
    /// changed. With [`Change::Failback`] among them, the host calls
    /// [`release_failback`](tunnel_balancer_core::PoolState::release_failback) of the service.
    ///
    /// # Errors
    /// If the command names something unknown, is out of range, or would leave a service without a
    /// server.
    pub fn run<'s>(
        &mut self,
        command: &Command,
        services: impl IntoIterator<Item = &'s Service, IntoIter: Clone>,
        now: u64,
    ) -> Result<Vec<Override>, ControlError> {
        let changed = self.overrides.set(command, services, now)?;
        changed.iter().for_each(|change| self.history.push(HistoryEntry::changed(change), now));
        Ok(changed)
    }

    /// Returns the history alone: all of it, or that of one service.
    #[must_use]
    pub fn only_history(&self, service: Option<&str>) -> Self {
        let history = service.map_or_else(|| self.history.clone(), |service| self.history.of_service(service));
        // A part of it lacks the entries that show since when it is complete.
        let since = self.since.max(self.history.complete_since());
        Self { history, since, overrides: Overrides::default() }
    }

    /// Ends the overrides whose time is over, and returns them.
    pub fn expire(&mut self, now: u64) -> Vec<Override> {
        let expired = self.overrides.expire(now);
        expired.iter().for_each(|ended| self.history.push(HistoryEntry::expired(ended), now));
        expired
    }

    /// Takes over what another process has changed and observed. The result does not depend on the
    /// order of merges. Returns whether the overrides changed.
    pub fn merge(&mut self, other: &Self, now: u64) -> bool {
        self.since = [self.since, other.since].into_iter().filter(|since| *since > 0).min().unwrap_or_default();
        self.history.merge(&other.history, now);
        self.overrides.merge(&other.overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;
    const NOW: u64 = 20_000 * DAY;

    fn transition(at: u64, service: &str) -> HistoryEntry {
        let json = format!(r#"{{"at":{at},"event":"server_unhealthy","service":"{service}","server":"a"}}"#);
        crate::json::from_str(&json).unwrap()
    }

    #[test]
    fn a_history_begins_once() {
        let mut control = Control::default();
        assert_eq!(control.history_since(NOW), None);
        control.begin(NOW - DAY);
        control.begin(NOW);
        assert_eq!(control.history_since(NOW), Some(NOW - DAY));
        // A document of an earlier version has entries without a beginning.
        let mut earlier = Control::default();
        earlier.history.push(transition(NOW - 3 * DAY, "app.test"), NOW);
        earlier.begin(NOW);
        assert_eq!(earlier.history_since(NOW), Some(NOW - 3 * DAY));
        let mut merged = control.clone();
        merged.merge(&earlier, NOW);
        earlier.merge(&control, NOW);
        assert_eq!((merged.since, earlier.since), (NOW - 3 * DAY, NOW - 3 * DAY), "in any order");
        merged.merge(&Control::default(), NOW);
        assert_eq!(merged.since, NOW - 3 * DAY, "a document without a history");
        assert_eq!(merged.history_since(NOW + 40 * DAY), Some(NOW + 10 * DAY), "entries are kept for 30 days");
    }

    #[test]
    fn a_full_history_is_complete_since_its_oldest_transition() {
        let mut control = Control::default();
        control.begin(NOW - 20 * DAY);
        for minute in 0..History::MAX_TRANSITIONS as u64 {
            let service = if minute % 2 == 0 { "app.test" } else { "other.test" };
            control.history.push(transition(NOW - 10 * DAY + minute * 60_000, service), NOW);
        }
        let full = Some(NOW - 10 * DAY);
        assert_eq!(control.history_since(NOW), full);
        let part = control.only_history(Some("app.test"));
        assert_eq!((part.history.len(), part.history_since(NOW)), (History::MAX_TRANSITIONS / 2, full));
        assert_eq!(control.only_history(None).history, control.history);
    }
}
