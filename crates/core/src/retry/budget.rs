//! The allowance for retries.
//!
//! # Why a budget and not only a number of attempts?
//!
//! Three attempts are good for one request, but overload a struggling server: when everything
//! fails, they triple its load at the worst moment, and it may never recover (Bronson et al.,
//! "Metastable failures in distributed systems", HotOS 2021). So retries are limited to a share of
//! the requests of the last ten seconds. With few requests that share would allow none, so one
//! retry per second is always allowed.
//!
//! Two kinds of retry are not charged. The first is a retry of a request that was never delivered,
//! which caused no load. The second is a retry from a server that fails repeatedly to one that has
//! not failed recently. When a server dies with a hundred requests in flight, the others can take
//! all of them. When all servers fail, none is without a recent failure, and every retry is
//! charged. So is every retry after a timeout, because servers may be overloaded then.
//!
//! A host with one timer for an attempt reserves a retry before it cuts the attempt. Reservations
//! are not charged to the retries either: most are returned, and if they were charged, a request
//! that fails meanwhile would not be sent again. They stop where retries and reservations together
//! reach the allowance, so at most twice the allowance is sent.
//!
//! Hedges are not charged to the retries: if they were, nothing would be left when a stalled server
//! finally breaks. But they stop where retries and hedges together reach the allowance, because
//! overloaded servers cause both.

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
    hedges: u32,
    reserved: u32,
}

impl Budget {
    const WINDOW: usize = 10;

    pub(crate) fn on_request(&mut self, now: Timestamp) {
        if let Some(second) = self.second(now) {
            second.requests = second.requests.saturating_add(1);
        }
    }

    /// Returns whether one more retry is allowed.
    pub(crate) fn is_retry_left(&self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let recent = self.recent(now);
        u64::from(recent.retries) < allowance(recent, settings)
    }

    /// Withdraws one retry. Returns `false` if the budget is used up.
    pub(crate) fn withdraw_retry(&mut self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let allowed = self.is_retry_left(now, settings);
        if allowed {
            self.charge_retry(now);
        }
        allowed
    }

    /// Reserves one retry. Returns `false` if retries and reservations use up the budget.
    pub(crate) fn reserve_retry(&mut self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let recent = self.recent(now);
        let allowed = u64::from(recent.retries) + u64::from(recent.reserved) < allowance(recent, settings);
        if allowed && let Some(second) = self.second(now) {
            second.reserved = second.reserved.saturating_add(1);
        }
        allowed
    }

    /// Returns the retry that was reserved at `at`. One that never is ends with the window.
    pub(crate) fn return_retry(&mut self, at: Timestamp) {
        let number = at.as_millis() / 1000;
        if let Some(second) = self.seconds.iter_mut().find(|second| second.number == number) {
            second.reserved = second.reserved.saturating_sub(1);
        }
    }

    /// Withdraws a retry that was reserved.
    pub(crate) fn charge_retry(&mut self, now: Timestamp) {
        if let Some(second) = self.second(now) {
            second.retries = second.retries.saturating_add(1);
        }
    }

    /// Withdraws one hedge. Returns `false` if retries and hedges use up the budget.
    pub(crate) fn withdraw_hedge(&mut self, now: Timestamp, settings: &BudgetSettings) -> bool {
        let recent = self.recent(now);
        let allowed = u64::from(recent.retries) + u64::from(recent.hedges) < allowance(recent, settings);
        if allowed && let Some(second) = self.second(now) {
            second.hedges = second.hedges.saturating_add(1);
        }
        allowed
    }

    /// Returns the sums over the window.
    fn recent(&self, now: Timestamp) -> Second {
        let number = now.as_millis() / 1000;
        let recent = self.seconds.iter().filter(|second| second.number + Self::WINDOW as u64 > number);
        recent.fold(Second::default(), |sum, second| Second {
            number,
            requests: sum.requests.saturating_add(second.requests),
            retries: sum.retries.saturating_add(second.retries),
            hedges: sum.hedges.saturating_add(second.hedges),
            reserved: sum.reserved.saturating_add(second.reserved),
        })
    }

    fn second(&mut self, now: Timestamp) -> Option<&mut Second> {
        let number = now.as_millis() / 1000;
        let length = self.seconds.len() as u64;
        let second = self.seconds.get_mut(usize::try_from(number % length).ok()?)?;
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        Some(second)
    }
}

/// Returns how many retries the requests of the window allow.
fn allowance(recent: Second, settings: &BudgetSettings) -> u64 {
    let share = u64::from(recent.requests) * u64::from(settings.percent) / 100;
    share.max(u64::from(settings.min_per_second) * Budget::WINDOW as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &mut Budget, tries: u32, now: Timestamp, settings: &BudgetSettings) -> u32 {
        (0..tries).map(|_| u32::from(budget.withdraw_retry(now, settings))).sum()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
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
            "the window is over; one retry per second is always allowed"
        );
    }

    #[test]
    fn rty_17_an_empty_budget_allows_no_retry() {
        let mut budget = Budget::default();
        let settings = BudgetSettings { percent: 0, min_per_second: 0 };
        (0..1000).for_each(|_| budget.on_request(Timestamp::ZERO));
        assert_eq!(granted(&mut budget, 10, Timestamp::ZERO, &settings), 0);
    }

    #[test]
    fn rty_18_charges_expire_with_the_window() {
        let mut budget = Budget::default();
        let settings = BudgetSettings { percent: 0, min_per_second: 1 };
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(500), &settings), 10);
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(9_999), &settings), 0);
        assert_eq!(granted(&mut budget, 20, Timestamp::from_millis(10_000), &settings), 10);
    }

    #[test]
    fn reservations_use_up_reservations_but_no_retries() {
        let (mut budget, settings) = (Budget::default(), BudgetSettings::default());
        let (now, later) = (Timestamp::from_millis(500), Timestamp::from_millis(3_500));
        let reserve = |budget: &mut Budget, now| (0..20).filter(|_| budget.reserve_retry(now, &settings)).count();
        assert_eq!(reserve(&mut budget, now), 10);
        budget.return_retry(now);
        assert_eq!(reserve(&mut budget, later), 1);
        budget.return_retry(Timestamp::from_millis(1_500));
        assert_eq!(reserve(&mut budget, later), 0, "none was reserved at that time");
        assert_eq!(granted(&mut budget, 20, later, &settings), 10);
        assert_eq!(reserve(&mut budget, Timestamp::from_millis(12_000)), 0, "retries use up reservations");
        assert_eq!(reserve(&mut budget, Timestamp::from_millis(14_000)), 10, "the window is over");
    }

    #[test]
    fn retries_take_precedence_over_hedges() {
        let (mut budget, settings) = (Budget::default(), BudgetSettings::default());
        assert!((0..4).all(|_| budget.withdraw_hedge(Timestamp::ZERO, &settings)));
        assert_eq!(granted(&mut budget, 20, Timestamp::ZERO, &settings), 10, "hedges do not use up retries");
        assert!(!budget.withdraw_hedge(Timestamp::ZERO, &settings), "retries use up hedges");
        let later = Timestamp::from_millis(10_000);
        assert_eq!((0..20).filter(|_| budget.withdraw_hedge(later, &settings)).count(), 10);
    }
}
