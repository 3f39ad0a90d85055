//! Points in time, as plain numbers.
//!
//! The core never reads a clock: hosts pass `now` to every call. `std::time::Instant` cannot be
//! constructed from a number and panics on `wasm32-unknown-unknown`, so times are milliseconds
//! since a start that the host chooses.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in milliseconds. The host chooses the start; the core uses differences only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The host's start of time, the earliest point.
    pub const ZERO: Self = Self(0);

    /// Creates the point `millis` milliseconds after the host's start of time.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the host's start of time.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the largest point in time.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }
}

/// Returns whole milliseconds in 64 bits. `Duration::as_millis` computes in 128, which is slower.
pub(crate) const fn whole_millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// Turns a host's wall clock into a monotonic one.
///
/// A wall clock can be set back or forward while the state holds deadlines, such as those of leases
/// and ejections. So only the steps of the clock count. A step back counts as none, and a step
/// forward as a day at most, after which every deadline is over.
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
    /// Steps back up to this long are caused by threads that race for the lock, not by a clock that
    /// was set.
    const MAX_CLOCK_RACE: Duration = Duration::from_secs(1);
    const MAX_STEP: Duration = Duration::from_secs(24 * 60 * 60);
    const MAX_STEP_MILLIS: u64 = whole_millis(Self::MAX_STEP);
    /// JavaScript's largest safe integer. No clock shows more, and later steps do not overflow.
    const MAX_START: Timestamp = Timestamp::from_millis((1 << 53) - 1);

    /// Returns the monotonic time at which the host's clock shows `reading`, and advances to it.
    pub(crate) fn advance(&mut self, reading: Timestamp) -> Timestamp {
        let time = self.at(reading);
        let is_race =
            self.last.is_some_and(|last| reading < last.reading && last.reading.since(reading) <= Self::MAX_CLOCK_RACE);
        if !is_race {
            self.last = Some(Last { reading, time });
        }
        time
    }

    /// Returns the last time that [`advance`](Self::advance) returned.
    pub(crate) fn last(&self) -> Timestamp {
        self.last.map(|last| last.time).unwrap_or_default()
    }

    /// Returns what the host's clock showed, or will show, at `time`. Hosts that share state share
    /// that clock.
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
            None => reading.min(Self::MAX_START),
            Some(last) => {
                let step = reading.0.saturating_sub(last.reading.0).min(Self::MAX_STEP_MILLIS);
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
    fn time_continues_when_the_clock_is_set_back() {
        let mut time = Monotonic::default();
        assert_eq!(time.advance(at(10_000)), at(10_000));
        assert_eq!(time.advance(at(6_400)), at(10_000));
        assert_eq!(time.advance(at(6_405)), at(10_005));
        assert_eq!(time.advance(at(6_405)), at(10_005), "a clock that stands still");
    }

    #[test]
    fn time_continues_when_the_clock_leaps_ahead_and_returns() {
        let mut time = Monotonic::default();
        time.advance(at(10));
        let leapt = time.advance(Timestamp::from_millis(u64::MAX));
        assert_eq!(leapt, at(10) + Monotonic::MAX_STEP);
        assert_eq!(time.advance(at(20)), leapt);
        assert_eq!(time.advance(at(21)), leapt + Duration::from_secs(1));
    }

    #[test]
    fn racing_readers_do_not_advance_time() {
        let mut time = Monotonic::default();
        for second in 1..1000 {
            time.advance(at(second));
            time.advance(Timestamp::from_millis(second * 1000 - 1));
        }
        assert_eq!(time.advance(at(1000)), at(1000));
    }
}
