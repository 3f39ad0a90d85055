//! The allowance for retries.
//!
//! # Why a budget and not only a number of attempts?
//!
//! Three attempts are kind to one request and murder to a tired server: when everything fails, they triple its load at the
//! worst moment, and it never gets up again (Bronson et al., "Metastable failures in distributed systems", HotOS 2021).
//! So retries may make up a share of the requests of the last ten seconds. Where there are few requests a share would
//! allow none, so one a second is free.
//!
//! Two kinds of retry are not counted. Those of attempts that were never delivered: they cost nobody anything. And those
//! that a server which fails again and again sends to one that has not failed lately: when one server dies with a hundred
//! requests on it, the others can take all hundred, and users must not see it. When everybody fails, nobody is without a
//! failure, and all are counted.

use crate::service::BudgetSettings;
use crate::time::Timestamp;

/// Requests and retries of the last ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    seconds: [Second; Self::WINDOW],
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    requests: u32,
    retries: u32,
}

impl Budget {
    const WINDOW: usize = 10;

    pub(crate) fn on_request(&mut self, now: Timestamp) {
        if let Some(second) = self.second(now) {
            second.requests = second.requests.saturating_add(1);
        }
    }

    /// Returns whether one more retry is allowed.
    pub(crate) fn is_left(&self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let number = now.as_millis() / 1000;
        let recent = self.seconds.iter().filter(|second| second.number + Self::WINDOW as u64 > number);
        let (requests, retries) = recent.fold((0_u64, 0_u64), |(requests, retries), second| {
            (requests + u64::from(second.requests), retries + u64::from(second.retries))
        });
        let share = requests * u64::from(settings.percent) / 100;
        let free = u64::from(settings.min_per_second) * Self::WINDOW as u64;
        retries < share.max(free)
    }

    /// Takes one retry from the allowance, if one is left.
    pub(crate) fn take(&mut self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let allowed = self.is_left(now, settings);
        if allowed && let Some(second) = self.second(now) {
            second.retries = second.retries.saturating_add(1);
        }
        allowed
    }

    fn second(&mut self, now: Timestamp) -> Option<&mut Second> {
        let number = now.as_millis() / 1000;
        let length = self.seconds.len() as u64;
        let second = self.seconds.get_mut(usize::try_from(number % length).ok()?)?;
        if second.number != number {
            *second = Second { number, requests: 0, retries: 0 };
        }
        Some(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &mut Budget, tries: u32, now: Timestamp, settings: &BudgetSettings) -> u32 {
        (0..tries).map(|_| u32::from(budget.take(now, settings))).sum()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_tried_again() {
        let mut budget = Budget::default();
        let settings = BudgetSettings::default();
        for second in 0..10 {
            (0..100).for_each(|_| budget.on_request(Timestamp::from_millis(second * 1000)));
        }
        let now = Timestamp::from_millis(9_999);
        assert_eq!(granted(&mut budget, 1000, now, &settings), 200);
        assert_eq!(
            granted(&mut budget, 1000, now + std::time::Duration::from_secs(10), &settings),
            10,
            "all is forgotten; one a second is free"
        );
    }

    #[test]
    fn rty_17_a_budget_of_nothing_allows_nothing() {
        let mut budget = Budget::default();
        let settings = BudgetSettings { percent: 0, min_per_second: 0 };
        (0..1000).for_each(|_| budget.on_request(Timestamp::ZERO));
        assert_eq!(granted(&mut budget, 10, Timestamp::ZERO, &settings), 0);
    }

    #[test]
    fn rty_18_what_was_taken_comes_back_as_time_goes_on() {
        let mut budget = Budget::default();
        let settings = BudgetSettings { percent: 0, min_per_second: 1 };
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(500), &settings), 10);
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(9_999), &settings), 0);
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(10_000), &settings), 10);
    }
}
