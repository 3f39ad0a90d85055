//! Limits the notices about a server that changes all the time.
//!
//! [`BURST`] changes are announced at once, and one more for each [`WINDOW`] that has passed.
//! Further ones are held and counted, and only the newest is kept. It is announced when nothing has
//! changed for a while, or when changes have been held for the whole window. The wait doubles with
//! each such summary, from [`QUIET`] to the window, until nothing has changed for as long as the
//! window. So the final state is always announced, and a server that flaps without end causes one
//! notice per window.

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use crate::NameMap;

/// The changes of one subject that are announced at once.
const BURST: u64 = 4;

/// The time after which one more is announced at once, in milliseconds.
const WINDOW: u64 = 10 * 60_000;

/// How long the state must be stable before it is announced, at first.
const QUIET: u64 = 60_000;

/// The recent notices of each subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Flaps {
    subjects: NameMap<Subject>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    /// When the whole burst is available again.
    full_at: u64,
    /// The last change.
    changed_at: u64,
    /// The newest change that is not announced, and when the first of them happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<(Notice, u64)>,
    /// Summaries since the subject was stable.
    summaries: u32,
}

impl Flaps {
    /// Returns the notice, if it is announced at once.
    pub(super) fn admit(&mut self, notice: Notice, now: u64) -> Option<Notice> {
        let subject = self.subjects.get_or_default(&notice.subject());
        if now.saturating_sub(subject.changed_at) >= WINDOW {
            subject.summaries = 0;
        }
        subject.changed_at = now;
        if let Some((held, since)) = subject.held.take() {
            subject.held = Some((notice.replacing(&held), since));
            return None;
        }
        let full_at = subject.full_at.clamp(now, now.saturating_add(BURST * WINDOW)).saturating_add(WINDOW);
        if full_at - now <= BURST * WINDOW && subject.summaries == 0 {
            subject.full_at = full_at;
            return Some(notice);
        }
        subject.held = Some((notice, now));
        None
    }

    /// Returns the held changes that are announced now, and forgets subjects that are stable.
    pub(super) fn due(&mut self, now: u64) -> Vec<Notice> {
        let mut due = Vec::new();
        for subject in self.subjects.values_mut() {
            if subject.due_at().is_some_and(|at| at <= now)
                && let Some((notice, _)) = subject.held.take()
            {
                subject.summaries = subject.summaries.saturating_add(1);
                due.push(notice);
            }
        }
        self.subjects.retain(|_, subject| {
            // A time in the future: the clock was set back.
            let is_recent = subject.changed_at <= now && now - subject.changed_at < WINDOW;
            subject.held.is_some() || is_recent || (subject.full_at > now && subject.changed_at <= now)
        });
        due
    }

    /// Returns when the next held change is announced.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.subjects.values().filter_map(Subject::due_at).min()
    }
}

impl Subject {
    fn due_at(&self) -> Option<u64> {
        let (_, since) = self.held.as_ref()?;
        let quiet = QUIET.saturating_mul(1 << self.summaries.min(8)).min(WINDOW);
        Some(self.changed_at.saturating_add(quiet).min(since.saturating_add(WINDOW)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::NoticeKind;

    /// Runs changes at an interval for a time, and returns when notices were announced, with the
    /// number of changes that each stands for.
    fn run(interval: u64, until: u64) -> Vec<(u64, u32)> {
        let (mut flaps, mut announced) = (Flaps::default(), Vec::new());
        let mut record =
            |now, notices: Vec<Notice>| announced.extend(notices.iter().map(|it| (now / 1000, it.changes)));
        for now in (0..until + 2 * BURST * WINDOW).step_by(1000) {
            if now < until && now % interval == 0 {
                let notice = Notice::new(NoticeKind::ServerDown, "a.test", now);
                record(now, flaps.admit(notice, now).into_iter().collect());
            }
            record(now, flaps.due(now));
        }
        assert_eq!(flaps, Flaps::default(), "nothing is kept about a stable server");
        announced
    }

    #[test]
    fn a_flapping_server_has_a_burst_and_a_summary_per_window() {
        assert_eq!(run(1000, WINDOW), [(0, 1), (1, 1), (2, 1), (3, 1), (604, 596)]);
        let hour = run(1000, 3_600_000);
        assert_eq!(hour.iter().map(|(_, changes)| changes).sum::<u32>(), 3600, "{hour:?}");
        assert!(hour.len() <= 4 + 7, "{hour:?}");
    }

    #[test]
    fn every_interval_is_limited_and_every_change_is_counted() {
        for seconds in [1, 2, 7, 30, 59, 60, 61, 90, 119, 121, 150, 239, 241, 299, 301] {
            let announced = run(seconds * 1000, 24 * 3_600_000);
            let changes: u32 = announced.iter().map(|(_, changes)| changes).sum();
            assert_eq!(u64::from(changes), (24 * 3600_u64).div_ceil(seconds), "{seconds}");
            // The burst, summaries before the wait is as long as the window, and one per window.
            assert!(announced.len() <= 4 + 4 + 24 * 6, "{seconds}: {}", announced.len());
        }
    }

    #[test]
    fn rare_changes_are_announced_at_once() {
        assert!(run(WINDOW, 24 * 3_600_000).iter().all(|(_, changes)| *changes == 1));
    }

    #[test]
    fn the_final_state_is_announced_a_minute_after_a_short_burst() {
        assert_eq!(run(1000, 6000), [(0, 1), (1, 1), (2, 1), (3, 1), (65, 2)]);
    }
}
