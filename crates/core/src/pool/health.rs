//! Active health: the state of a server by its probes.
//!
//! One lost packet is no outage and one success no recovery, so a change needs several results in a
//! row: `fall` failures or `rise` passes. Only the very first result decides alone, because until
//! then the health is unknown.

use crate::service::HealthCheck;

/// A server's state by its probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Health {
    /// Not probed yet. Such a server is available: a first request must not wait.
    #[default]
    Unknown,
    /// Its probes pass.
    Healthy,
    /// Its probes fail.
    Unhealthy,
}

impl Health {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A server's health and how near it is to a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HealthState {
    health: Health,
    /// Results in a row that contradict `health`.
    contrary_streak: u32,
}

impl HealthState {
    /// Creates a state that another pool observed.
    pub(super) const fn restored(health: Health, contrary_streak: u32) -> Self {
        Self { health, contrary_streak }
    }

    pub(super) const fn health(self) -> Health {
        self.health
    }

    /// Returns the number of results in a row that contradict the health. With one, the next probe
    /// is due soon.
    pub(super) const fn contrary_streak(self) -> u32 {
        self.contrary_streak
    }

    /// Records a result. Returns the new health if it changed.
    pub(super) fn record(&mut self, passed: bool, check: &HealthCheck) -> Option<Health> {
        let observed = if passed { Health::Healthy } else { Health::Unhealthy };
        if observed == self.health {
            self.contrary_streak = 0;
            return None;
        }
        self.contrary_streak = self.contrary_streak.saturating_add(1);
        let needed = match self.health {
            Health::Unknown => 1,
            Health::Healthy => check.fall,
            Health::Unhealthy => check.rise,
        };
        if self.contrary_streak < needed {
            return None;
        }
        *self = Self { health: observed, contrary_streak: 0 };
        Some(observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds results (`+` passed, `-` failed) and writes the health after each: `?`, `+`, `-`.
    fn run(check: &HealthCheck, results: &str) -> String {
        let mut state = HealthState::default();
        let after = |result: char| {
            state.record(result == '+', check);
            match state.health() {
                Health::Unknown => '?',
                Health::Healthy => '+',
                Health::Unhealthy => '-',
            }
        };
        results.chars().map(after).collect()
    }

    #[test]
    fn health_changes_need_consecutive_results() {
        let check = HealthCheck::default();
        let table = [
            ("HC-06 the first result decides alone", "+", "+"),
            ("a failing first result also decides alone", "-", "-"),
            ("HC-01 a passing server stays healthy", "+++", "+++"),
            ("HC-03 one failure is not enough", "+-", "++"),
            ("HC-04 the second in a row is", "+--", "++-"),
            ("HC-02 results that alternate after a pass change nothing", "+-+-", "++++"),
            ("HC-05 recovery needs two, too", "-++", "--+"),
            ("alternating results never change anything", "+-+-+-", "++++++"),
            ("alternating results never restore a server", "-+-+-+", "------"),
        ];
        for (case, results, expected) in table {
            assert_eq!(run(&check, results), expected, "{case}");
        }
        let strict = HealthCheck { rise: 1, fall: 3, ..HealthCheck::default() };
        assert_eq!(run(&strict, "+---+"), "+++-+", "rise 1, fall 3");
    }

    #[test]
    fn hc_21_a_change_is_reported_once() {
        let (mut state, check) = (HealthState::default(), HealthCheck::default());
        let reported: Vec<_> = [true, true, false, false, false].iter().map(|r| state.record(*r, &check)).collect();
        assert_eq!(reported, [Some(Health::Healthy), None, None, Some(Health::Unhealthy), None]);
    }
}
