//! Active health: what probes say about a server, and when enough of them have said it.
//!
//! One lost packet is no outage and one lucky answer no recovery, so a change needs several results in a row: `fall` bad
//! ones or `rise` good ones. Only the very first result decides alone, because until then nothing is known.

use crate::service::HealthCheck;

/// What is known of a server from its probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Health {
    /// Not probed yet. Usable: a first request must not wait.
    #[default]
    Unknown,
    /// Passing.
    Healthy,
    /// Failing. Used only when there is nothing better.
    Unhealthy,
}

/// A server's health and how near it is to changing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HealthState {
    health: Health,
    /// Results in a row that speak against `health`.
    against: u32,
}

impl HealthState {
    pub(crate) const fn health(&self) -> Health {
        self.health
    }

    /// Whether the last result spoke against the present state, so that the next one is wanted soon.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.against > 0
    }

    /// What somebody else found out.
    pub(crate) const fn adopt(&mut self, health: Health) {
        *self = Self { health, against: 0 };
    }

    /// Takes in a result; the new health if that changed it.
    pub(crate) fn record(&mut self, passed: bool, check: &HealthCheck) -> Option<Health> {
        let said = if passed { Health::Healthy } else { Health::Unhealthy };
        if said == self.health {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = match self.health {
            Health::Unknown => 1,
            Health::Healthy => check.fall,
            Health::Unhealthy => check.rise,
        };
        if self.against < needed {
            return None;
        }
        *self = Self { health: said, against: 0 };
        Some(said)
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
    fn changes_need_results_in_a_row() {
        let check = HealthCheck::default();
        let table = [
            ("HC-06 the first result decides alone", "+", "+"),
            ("the first result decides alone, also a bad one", "-", "-"),
            ("HC-01 a passing server stays as it is", "+++", "+++"),
            ("HC-03 one failure is not enough", "+-", "++"),
            ("HC-04 the second in a row is", "+--", "++-"),
            ("HC-02 a definite bad answer counts like a timeout: after `fall`", "+-+-", "++++"),
            ("HC-05 recovery needs two as well", "-++", "--+"),
            ("alternating results never change anything", "+-+-+-", "++++++"),
            ("alternating results never bring a server back", "-+-+-+", "------"),
        ];
        for (case, results, expected) in table {
            assert_eq!(run(&check, results), expected, "{case}");
        }
        let strict = HealthCheck { rise: 1, fall: 3, ..HealthCheck::default() };
        assert_eq!(run(&strict, "+---+"), "+++-+", "rise 1, fall 3");
    }

    #[test]
    fn hc_21_a_change_is_told_once() {
        let (mut state, check) = (HealthState::default(), HealthCheck::default());
        let told: Vec<_> = [true, true, false, false, false].iter().map(|r| state.record(*r, &check)).collect();
        assert_eq!(told, [Some(Health::Healthy), None, None, Some(Health::Unhealthy), None]);
    }
}
