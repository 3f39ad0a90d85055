//! When a process reads the shared document, and when it reports to it.

/// What to exchange with the store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Read the document.
    Read,
    /// Write what changed here, and read the document.
    Report,
}

/// Decides when one process exchanges facts with the store. Only requests cause an exchange, and
/// none waits for it. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct SyncSchedule {
    interval: u64,
    /// Until when an exchange is under way. It is lost when its invocation is canceled.
    running_until: u64,
    next_at: u64,
    failures: u32,
    has_changes: bool,
}

impl SyncSchedule {
    /// An exchange that takes longer is lost.
    const LEASE_MS: u64 = 10_000;

    /// The longest pause after failures.
    const MAX_BACKOFF_MS: u64 = 60_000;

    /// The shortest time between two exchanges.
    const MIN_INTERVAL_MS: u64 = 1_000;

    /// Creates a schedule that reads every `interval` milliseconds.
    pub const fn new(interval: u64) -> Self {
        Self { interval, running_until: 0, next_at: 0, failures: 0, has_changes: false }
    }

    /// Records that the state of a server changed here.
    pub const fn on_change(&mut self) {
        self.has_changes = true;
        if self.failures == 0 {
            let after_last = self.next_at.saturating_sub(self.interval) + Self::MIN_INTERVAL_MS;
            self.next_at = if after_last < self.next_at { after_last } else { self.next_at };
        }
    }

    /// Returns the next exchange and the time in milliseconds until it starts, if none is under
    /// way. Only a change is waited for. Report the end with [`finish`](Self::finish).
    pub const fn start(&mut self, now: u64) -> Option<(SyncKind, u64)> {
        // A time far in the future is one of a clock that was set back.
        let is_running = now < self.running_until && self.running_until - now <= 2 * Self::LEASE_MS;
        let is_early = now < self.next_at && self.next_at - now <= Self::MAX_BACKOFF_MS;
        let wait = if is_early { self.next_at - now } else { 0 };
        if is_running || (wait > 0 && (!self.has_changes || wait > Self::LEASE_MS)) {
            return None;
        }
        self.running_until = now + wait + Self::LEASE_MS;
        Some((if self.has_changes { SyncKind::Report } else { SyncKind::Read }, wait))
    }

    /// Returns the exchange that is needed after one that ended: for changes since it began.
    pub const fn start_again(&mut self, now: u64) -> Option<(SyncKind, u64)> {
        if self.has_changes { self.start(now) } else { None }
    }

    /// Records that the facts are collected: changes from now on need another exchange.
    pub const fn on_export(&mut self) {
        self.has_changes = false;
    }

    /// Records the end of an exchange.
    pub fn finish(&mut self, sync: SyncKind, succeeded: bool, now: u64) {
        self.running_until = 0;
        let pause = if succeeded {
            self.failures = 0;
            if self.has_changes { Self::MIN_INTERVAL_MS } else { self.interval }
        } else {
            self.failures = self.failures.saturating_add(1);
            self.has_changes |= sync == SyncKind::Report;
            let doubled = Self::MIN_INTERVAL_MS.saturating_mul(1 << self.failures.min(6));
            doubled.max(self.interval).min(Self::MAX_BACKOFF_MS)
        };
        self.next_at = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    #[test]
    fn the_document_is_read_once_per_interval() {
        let mut schedule = SyncSchedule::new(5_000);
        assert_eq!(schedule.start(START), Some((SyncKind::Read, 0)));
        assert_eq!(schedule.start(START + 9_999), None, "one is under way");
        schedule.finish(SyncKind::Read, true, START + 50);
        assert_eq!(schedule.start_again(START + 50), None);
        assert_eq!(schedule.start(START + 5_049), None);
        assert_eq!(schedule.start(START + 5_050), Some((SyncKind::Read, 0)));
        assert_eq!(schedule.start(START + 15_050), Some((SyncKind::Read, 0)), "the last one was lost");
    }

    #[test]
    fn a_change_is_reported_within_a_second() {
        let mut schedule = SyncSchedule::new(5_000);
        schedule.start(START);
        schedule.on_change();
        schedule.finish(SyncKind::Read, true, START);
        assert_eq!(schedule.start_again(START), Some((SyncKind::Report, 1_000)), "it came after the read");
        schedule.on_export();
        schedule.finish(SyncKind::Report, true, START + 1_000);
        assert_eq!(schedule.start_again(START + 1_000), None);
        schedule.on_change();
        assert_eq!(schedule.start(START + 1_400), Some((SyncKind::Report, 600)));
        assert_eq!(schedule.start(START + 1_500), None, "one is under way");
        schedule.on_export();
        schedule.on_change();
        schedule.finish(SyncKind::Report, true, START + 2_000);
        assert_eq!(schedule.start_again(START + 2_000), Some((SyncKind::Report, 1_000)), "a change after the export");
    }

    #[test]
    fn a_report_that_failed_is_repeated_after_a_growing_pause() {
        let mut schedule = SyncSchedule::new(2_000);
        schedule.on_change();
        let mut now = START;
        for pause in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(schedule.start(now), Some((SyncKind::Report, 0)));
            schedule.on_export();
            schedule.finish(SyncKind::Report, false, now);
            schedule.on_change();
            let expected = Some((SyncKind::Report, pause)).filter(|_| pause <= 10_000);
            assert_eq!(schedule.clone().start(now), expected, "{pause}");
            now += pause;
        }
        schedule.start(now);
        schedule.on_export();
        schedule.finish(SyncKind::Report, true, now);
        assert_eq!(schedule.start(now + 2_000), Some((SyncKind::Read, 0)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_end_the_exchange() {
        let mut schedule = SyncSchedule::new(2_000);
        schedule.start(START);
        assert_eq!(schedule.start(START - 500_000), Some((SyncKind::Read, 0)));
        schedule.finish(SyncKind::Read, true, START);
        assert_eq!(schedule.start(START - 500_000), Some((SyncKind::Read, 0)));
    }
}
