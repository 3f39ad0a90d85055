//! When a process sends its facts.

use std::time::Duration;

use tunnel_balancer_core::Timestamp;

/// The time of the next message: at an interval, at once after a transition, and later and later
/// while messages fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    next: Timestamp,
    /// When the last message was sent.
    last: Option<Timestamp>,
    /// Failures in a row.
    failures: u32,
}

impl Schedule {
    /// The shortest time between two messages: a server that flaps does not cause a flood.
    const MIN_INTERVAL: Duration = Duration::from_secs(1);

    /// The longest time between two messages while they fail.
    pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(60);

    /// The share of an interval by which a message is moved at random.
    const JITTER: f64 = 0.2;

    /// Starts with a message that is due at once.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, next: Timestamp::ZERO, last: None, failures: 0 }
    }

    /// Returns when the next message is due.
    pub(crate) const fn next_at(&self) -> Timestamp {
        self.next
    }

    /// Records a transition. While messages fail, it waits for the next one.
    pub(crate) fn on_transition(&mut self, now: Timestamp) {
        if self.failures == 0 {
            let earliest = self.last.map_or(now, |last| now.max(last + Self::MIN_INTERVAL));
            self.next = self.next.min(earliest);
        }
    }

    /// Records a message that was accepted at `now`. `random` is from 0 to 1.
    pub(crate) fn on_success(&mut self, now: Timestamp, random: f64) {
        self.failures = 0;
        self.set_next(now, self.interval, random);
    }

    /// Records a message that failed. The receiver may have set the time of the next one.
    pub(crate) fn on_failure(&mut self, now: Timestamp, retry_after: Option<Duration>, random: f64) {
        let backoff = Self::MIN_INTERVAL.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.set_next(now, backoff.max(retry_after.unwrap_or_default()).min(Self::MAX_BACKOFF), random);
    }

    fn set_next(&mut self, now: Timestamp, interval: Duration, random: f64) {
        self.last = Some(now);
        self.next = now + interval.mul_f64(1.0 + Self::JITTER * (2.0 * random - 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn messages_are_sent_at_an_interval_with_jitter() {
        let mut schedule = Schedule::new(Duration::from_secs(5));
        assert_eq!(schedule.next_at(), Timestamp::ZERO);
        let next = [0.0, 0.5, 1.0].map(|random| {
            schedule.on_success(at(1_000), random);
            schedule.next_at()
        });
        assert_eq!(next, [at(5_000), at(6_000), at(7_000)]);
    }

    #[test]
    fn a_transition_is_sent_at_once_but_at_most_one_a_second() {
        let mut schedule = Schedule::new(Duration::from_secs(5));
        schedule.on_success(at(1_000), 0.5);
        schedule.on_transition(at(4_000));
        assert_eq!(schedule.next_at(), at(4_000));
        schedule.on_success(at(4_100), 0.5);
        schedule.on_transition(at(4_200));
        schedule.on_transition(at(4_300));
        assert_eq!(schedule.next_at(), at(5_100));
        schedule.on_transition(at(6_000));
        assert_eq!(schedule.next_at(), at(5_100), "it is overdue already");
    }

    #[test]
    fn failures_delay_the_next_message_by_a_minute_at_most() {
        let mut schedule = Schedule::new(Duration::from_secs(5));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            schedule.on_failure(at(0), None, 0.5);
            schedule.on_transition(at(0));
            pauses.push(schedule.next_at().as_millis() / 1000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        schedule.on_success(at(0), 0.5);
        schedule.on_failure(at(0), Some(Duration::from_secs(20)), 0.5);
        assert_eq!(schedule.next_at(), at(20_000));
        schedule.on_failure(at(0), Some(Duration::from_secs(3600)), 0.5);
        assert_eq!(schedule.next_at(), at(60_000));
    }
}
