//! The facts that a process shares: their times, and whether it could observe them.

use tunnel_balancer_core::{Cause, Health, ServerSnapshot, Timestamp};
use tunnel_balancer_state::SharedState;

/// The difference between the clock of this process and the time of day, in milliseconds.
///
/// The clock of a process never jumps. The time of day does: a small computer may start in 1970
/// until it has a network, and a virtual machine continues hours later. Other machines know only
/// the time of day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockOffset(i64);

impl ClockOffset {
    /// Smaller changes are ignored, so that a fact that returns has the same time.
    const TOLERANCE_MS: u64 = 1000;

    /// Records that both clocks show these times.
    pub(crate) fn update(&mut self, clock: Timestamp, time_of_day: u64) {
        let offset = signed(time_of_day).saturating_sub(signed(clock.as_millis()));
        if offset.abs_diff(self.0) > Self::TOLERANCE_MS {
            self.0 = offset;
        }
    }

    /// Changes the times of this process into times of day.
    pub(crate) fn to_time_of_day(self, state: &mut SharedState) {
        shift(state, self.0);
    }

    /// Changes times of day into the times of this process.
    pub(crate) fn to_clock(self, state: &mut SharedState) {
        shift(state, self.0.saturating_neg());
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn shift(state: &mut SharedState, by: i64) {
    let shift = |at: &mut u64| {
        // 0 is never.
        if *at > 0 {
            *at = at.saturating_add_signed(by).max(1);
        }
    };
    shift(&mut state.written_at);
    for server in state.services.values_mut().flat_map(|snapshot| &mut snapshot.servers) {
        let ServerSnapshot { probed_at, state_changed_at, ejected_until, trial_until, failback_changed_at, .. } =
            server;
        [probed_at, state_changed_at, failback_changed_at].into_iter().for_each(shift);
        [ejected_until, trial_until].into_iter().flatten().for_each(shift);
    }
}

/// When this machine may have had no network.
///
/// A machine without a network sees every server fail. When the network returns, these failures
/// are its newest facts, and would make all others stop using servers that work. So failures are
/// held back if the other side was unreachable when they were observed. The next probe confirms or
/// refutes them. All times are milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isolation {
    last_contact: u64,
    is_isolated: bool,
    /// The last time without contact, from its beginning to its end.
    past: Option<(u64, u64)>,
}

impl Isolation {
    /// Facts of another process that are older are ignored.
    const MAX_FACT_AGE_MS: u64 = 300_000;

    /// Starts at `now`.
    pub(crate) const fn new(now: u64) -> Self {
        Self { last_contact: now, is_isolated: false, past: None }
    }

    /// Records that the other side was unreachable.
    pub(crate) const fn on_unreachable(&mut self) {
        self.is_isolated = true;
    }

    /// Records that the other side responded.
    pub(crate) fn on_contact(&mut self, now: u64) {
        if self.is_isolated {
            let is_recent = |(_, until): &(u64, u64)| self.last_contact.saturating_sub(*until) < Self::MAX_FACT_AGE_MS;
            let from = self.past.filter(is_recent).map_or(self.last_contact, |(from, _)| from);
            self.past = Some((from, now));
        }
        self.is_isolated = false;
        self.last_contact = now;
    }

    /// Removes the failures that this machine may have caused itself.
    pub(crate) fn hide_own_failures(self, state: &mut SharedState) {
        for server in state.services.values_mut().flat_map(|snapshot| &mut snapshot.servers) {
            let is_failing = server.health == Health::Unhealthy || server.contrary_streak > 0;
            if is_failing && self.is_doubtful(server.probed_at) {
                (server.health, server.probed_at, server.contrary_streak) = (Health::Unknown, 0, 0);
            }
            if server.ejected_until.is_some() && self.is_doubtful(server.state_changed_at) {
                (server.state_changed_at, server.ejected_until, server.trial_until) = (0, None, None);
                (server.ejection_count, server.cause) = (0, Cause::default());
            }
            if server.awaiting_failback && self.is_doubtful(server.failback_changed_at) {
                (server.failback_changed_at, server.awaiting_failback) = (0, false);
            }
        }
    }

    fn is_doubtful(self, at: u64) -> bool {
        let is_past = self.past.is_some_and(|(from, until)| from < at && at <= until);
        is_past || (self.is_isolated && at > self.last_contact)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(server: Value) -> SharedState {
        serde_json::from_value(json!({ "services": { "app.test": { "servers": [server] } } })).unwrap()
    }

    fn server(state: &SharedState) -> &ServerSnapshot {
        &state.services.get("app.test").unwrap().servers[0]
    }

    #[test]
    fn times_follow_the_time_of_day_but_not_its_small_changes() {
        let mut offset = ClockOffset::default();
        let shifted = |offset: ClockOffset| {
            let mut state = state(json!({ "probed_at": 5_000, "state_changed_at": 0, "ejected_until": 9_000 }));
            offset.to_time_of_day(&mut state);
            let times = server(&state).clone();
            offset.to_clock(&mut state);
            assert_eq!((server(&state).probed_at, server(&state).ejected_until), (5_000, Some(9_000)));
            (times.probed_at, times.state_changed_at, times.ejected_until)
        };
        offset.update(Timestamp::from_millis(5_000), 5_900);
        assert_eq!(shifted(offset), (5_000, 0, Some(9_000)));
        // The clock of a small computer is set from 1970 when it has a network.
        offset.update(Timestamp::from_millis(5_000), 1_000_005_000);
        assert_eq!(shifted(offset), (1_000_005_000, 0, Some(1_000_009_000)));
        offset.update(Timestamp::from_millis(6_000), 1_000_005_100);
        assert_eq!(shifted(offset), (1_000_005_000, 0, Some(1_000_009_000)));
        offset.update(Timestamp::from_millis(5_000), 3_500);
        assert_eq!(shifted(offset), (3_500, 0, Some(7_500)));
    }

    /// Returns whether a failed probe and an ejection of this time are shared, which must agree.
    fn is_shared(isolation: Isolation, at: u64) -> bool {
        let mut state = state(json!({
            "health": "unhealthy", "probed_at": at, "ejected_until": at + 9, "state_changed_at": at,
            "ejection_count": 1, "awaiting_failback": true, "failback_changed_at": at,
        }));
        isolation.hide_own_failures(&mut state);
        let server = server(&state);
        let shared = [server.probed_at, server.state_changed_at, server.failback_changed_at].map(|at| at > 0);
        assert_eq!(shared, [shared[0]; 3]);
        shared[0]
    }

    #[test]
    fn failures_that_were_observed_without_a_network_are_not_shared() {
        let mut isolation = Isolation::new(1_000);
        assert!(is_shared(isolation, 1_500));
        isolation.on_contact(2_000);
        isolation.on_unreachable();
        assert!(is_shared(isolation, 2_000), "before the network was lost");
        assert!(!is_shared(isolation, 2_001));
        isolation.on_unreachable();
        isolation.on_contact(9_000);
        assert!(is_shared(isolation, 1_500) && !is_shared(isolation, 9_000));
        assert!(is_shared(isolation, 9_001), "confirmed with a network");
        isolation.on_contact(10_000);
        isolation.on_unreachable();
        isolation.on_contact(11_000);
        assert!(!is_shared(isolation, 3_000) && !is_shared(isolation, 10_500), "two losses soon after each other");
        isolation.on_contact(400_000);
        isolation.on_unreachable();
        isolation.on_contact(401_000);
        assert!(is_shared(isolation, 350_000) && !is_shared(isolation, 400_500));
    }

    #[test]
    fn successes_without_a_network_are_shared() {
        let mut isolation = Isolation::new(1_000);
        isolation.on_unreachable();
        let mut state = state(json!({ "health": "healthy", "probed_at": 2_000, "state_changed_at": 2_000 }));
        let before = state.clone();
        isolation.hide_own_failures(&mut state);
        assert_eq!(state, before);
    }
}
