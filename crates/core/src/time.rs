//! Points in time, as plain numbers.
//!
//! The core never reads a clock: a host passes `now` to every call. `std::time::Instant` cannot be made from a number and
//! panics on `wasm32-unknown-unknown`, so time is counted in milliseconds here, from whatever start the host likes.

use std::ops::Add;
use std::time::Duration;

/// A point in time in milliseconds. Only differences mean anything to the core; the host chooses the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The host's start of time: before or at every other point.
    pub const ZERO: Self = Self(0);

    /// The point `millis` milliseconds after the host's start of time.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the host's start of time.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Stops at the end of time rather than wrapping round.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }
}

/// Whole milliseconds, in 64 bits: `Duration::as_millis` counts in 128, which every request would pay for.
pub(crate) const fn whole_millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// Makes a host's wall clock usable as a monotonic one.
///
/// A wall clock can be set, back or forth, while deadlines (leases, ejections) are kept in state. So only its steps count:
/// one back is none at all, and one forth counts as a day at most, by which time every deadline is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Monotonic {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    reading: Timestamp,
    time: Timestamp,
}

impl Monotonic {
    /// Steps back up to this long are threads that race for a lock, not a clock that was set.
    const RACE: Duration = Duration::from_secs(1);
    const LONGEST_STEP: Duration = Duration::from_secs(24 * 60 * 60);
    const LONGEST_STEP_MILLIS: u64 = whole_millis(Self::LONGEST_STEP);
    /// JavaScript's largest safe integer: no clock shows more, and there is room for steps beyond.
    const LATEST_START: Timestamp = Timestamp::from_millis((1 << 53) - 1);

    /// The time to work with when the host's clock shows `reading`. Never earlier than an earlier answer.
    pub(crate) fn advance(&mut self, reading: Timestamp) -> Timestamp {
        let time = self.at(reading);
        let raced = self.last.is_some_and(|last| reading < last.reading && last.reading.since(reading) <= Self::RACE);
        if !raced {
            self.last = Some(Last { reading, time });
        }
        time
    }

    /// The last time that was returned.
    pub(crate) fn last(&self) -> Timestamp {
        self.last.map(|last| last.time).unwrap_or_default()
    }

    /// Returns what the host's clock showed, or will show, at `time`. Hosts that share state share that clock.
    pub(crate) fn reading_at(&self, time: Timestamp) -> Timestamp {
        self.last.map_or(time, |last| shift(time, last.time, last.reading))
    }

    /// Returns the time at which the host's clock shows `reading`.
    pub(crate) fn time_at(&self, reading: Timestamp) -> Timestamp {
        self.last.map_or(reading, |last| shift(reading, last.reading, last.time))
    }

    /// Returns what [`advance`](Self::advance) would return.
    pub(crate) fn at(&self, reading: Timestamp) -> Timestamp {
        match self.last {
            None => reading.min(Self::LATEST_START),
            Some(last) => {
                let step = reading.0.saturating_sub(last.reading.0).min(Self::LONGEST_STEP_MILLIS);
                Timestamp(last.time.0.saturating_add(step))
            }
        }
    }
}

/// Moves a point in time by the distance between two others.
const fn shift(at: Timestamp, from: Timestamp, to: Timestamp) -> Timestamp {
    Timestamp(if to.0 >= from.0 { at.0.saturating_add(to.0 - from.0) } else { at.0.saturating_sub(from.0 - to.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(at(1).since(at(5)), Duration::ZERO);
        assert_eq!(at(5).since(at(1)), Duration::from_secs(4));
        assert_eq!(Timestamp::from_millis(u64::MAX) + Duration::MAX, Timestamp::from_millis(u64::MAX));
    }

    #[test]
    fn a_clock_set_back_an_hour_goes_on_from_where_it_was() {
        let mut time = Monotonic::default();
        assert_eq!(time.advance(at(10_000)), at(10_000));
        assert_eq!(time.advance(at(6_400)), at(10_000));
        assert_eq!(time.advance(at(6_405)), at(10_005));
        assert_eq!(time.advance(at(6_405)), at(10_005), "a clock that stands still");
    }

    #[test]
    fn a_clock_that_leaps_ahead_and_returns_goes_on_running() {
        let mut time = Monotonic::default();
        time.advance(at(10));
        let leapt = time.advance(Timestamp::from_millis(u64::MAX));
        assert_eq!(leapt, at(10) + Monotonic::LONGEST_STEP);
        assert_eq!(time.advance(at(20)), leapt);
        assert_eq!(time.advance(at(21)), leapt + Duration::from_secs(1));
    }

    #[test]
    fn racing_readers_do_not_speed_time_up() {
        let mut time = Monotonic::default();
        for second in 1..1000 {
            time.advance(at(second));
            time.advance(Timestamp::from_millis(second * 1000 - 1));
        }
        assert_eq!(time.advance(at(1000)), at(1000));
    }
}
