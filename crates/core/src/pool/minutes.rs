//! The traffic of a server in each of the last 60 minutes, for small charts.
//!
//! A ring of 60 entries of 16 bytes is allocated at the end of the first attempt. So a server takes
//! at most 1 KB, and one without traffic takes nothing.

use std::time::Duration;

use crate::time::{Timestamp, whole_millis};

/// The attempts of one server that ended within one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Minute {
    /// When the minute began, on the host's clock.
    pub start: Timestamp,
    /// Attempts that ended.
    pub attempts: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// The mean response time. `None` without a response that is no failure.
    pub mean_latency: Option<Duration>,
}

/// The last minutes of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Minutes {
    /// The number of the newest minute with an attempt, counted from the start of time.
    newest: u64,
    ring: Option<Box<[Entry; Self::COUNT]>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    attempts: u32,
    failed: u32,
    responses: u32,
    /// The sum of the response times, in milliseconds.
    sum_millis: u32,
}

impl Minutes {
    const COUNT: usize = 60;
    const MILLIS: u64 = 60_000;

    /// Records the end of an attempt. `latency` is given for a response that is no failure.
    pub(super) fn record(&mut self, failed: bool, latency: Option<Duration>, now: Timestamp) {
        let minute = now.as_millis() / Self::MILLIS;
        let ring = self.ring.get_or_insert_with(|| Box::new([Entry::default(); Self::COUNT]));
        if minute != self.newest {
            // Minutes without an attempt have entries, too.
            let first_new = (self.newest + 1).max(minute.saturating_sub(Self::COUNT as u64 - 1));
            for new in first_new..=minute {
                if let Some(entry) = ring.get_mut(index(new)) {
                    *entry = Entry::default();
                }
            }
            self.newest = minute;
        }
        let Some(entry) = ring.get_mut(index(minute)) else { return };
        entry.attempts = entry.attempts.saturating_add(1);
        entry.failed = entry.failed.saturating_add(u32::from(failed));
        if let Some(latency) = latency {
            entry.responses = entry.responses.saturating_add(1);
            entry.sum_millis =
                entry.sum_millis.saturating_add(u32::try_from(whole_millis(latency)).unwrap_or(u32::MAX));
        }
    }

    /// Returns the minutes with an attempt among the last 60, oldest first. Their starts are points
    /// in time of the pool's own clock.
    pub(super) fn list(&self, now: Timestamp) -> impl Iterator<Item = Minute> {
        let oldest = (now.as_millis() / Self::MILLIS).saturating_sub(Self::COUNT as u64 - 1);
        let oldest_kept = self.newest.saturating_sub(Self::COUNT as u64 - 1);
        let entry = |minute| self.ring.as_ref()?.get(index(minute)).map(|entry| (minute, entry));
        let entries = (oldest.max(oldest_kept)..=self.newest).filter_map(entry);
        entries.filter(|(_, entry)| entry.attempts > 0).map(|(minute, entry)| Minute {
            start: Timestamp::from_millis(minute * Self::MILLIS),
            attempts: entry.attempts,
            failed: entry.failed,
            mean_latency: entry.sum_millis.checked_div(entry.responses).map(|mean| Duration::from_millis(mean.into())),
        })
    }
}

/// Returns the place of a minute in the ring.
const fn index(minute: u64) -> usize {
    (minute % Minutes::COUNT as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(minute: u64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000 + 59_999)
    }

    /// Returns minute, attempts and failed attempts.
    fn list(minutes: &Minutes, now: u64) -> Vec<(u64, u32, u32)> {
        minutes.list(at(now)).map(|it| (it.start.as_millis() / 60_000, it.attempts, it.failed)).collect()
    }

    #[test]
    fn attempts_are_counted_per_minute() {
        let mut minutes = Minutes::default();
        assert!(list(&minutes, 3).is_empty() && minutes.ring.is_none(), "nothing is allocated without traffic");
        minutes.record(false, Some(Duration::from_millis(10)), at(0));
        minutes.record(true, None, at(2));
        minutes.record(false, Some(Duration::from_millis(30)), at(2));
        minutes.record(false, Some(Duration::from_millis(90)), at(2));
        assert_eq!(list(&minutes, 3), [(0, 1, 0), (2, 3, 1)], "a minute without attempts is omitted");
        let means: Vec<_> = minutes.list(at(3)).map(|it| it.mean_latency.unwrap().as_millis()).collect();
        assert_eq!(means, [10, 60], "failures have no response time");
        assert_eq!(size_of_val(&**minutes.ring.as_ref().unwrap()), 960, "at most 1 KB");
        minutes.record(true, None, at(3));
        assert_eq!(minutes.list(at(3)).last().unwrap().mean_latency, None);
    }

    #[test]
    fn only_the_last_60_minutes_are_kept() {
        let mut minutes = Minutes::default();
        for minute in 100..170 {
            minutes.record(minute % 2 == 0, None, at(minute));
        }
        let listed = list(&minutes, 169);
        assert_eq!((listed.len(), listed[0], listed[59]), (60, (110, 1, 1), (169, 1, 0)));
        assert_eq!(list(&minutes, 227), [(168, 1, 1), (169, 1, 0)], "they grow old without traffic");
        assert!(list(&minutes, 300).is_empty());
        minutes.record(false, None, at(1_000_000));
        assert_eq!(list(&minutes, 1_000_000), [(1_000_000, 1, 0)], "a long pause");
    }
}
