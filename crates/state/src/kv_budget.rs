//! How often a document is written to Workers KV.

use serde::{Deserialize, Serialize};

/// The writes to Workers KV within a day.
///
/// The free plan has 1,000 writes a day. The first 100 of a day (UTC) are made at once, later ones
/// every two minutes: at most 820 a day. A write that has to wait is made within two minutes, and
/// contains everything that happened until then.
///
/// Commands of operators are written at once, and delay no other write. Those that would take a
/// write from the rest of the day are refused: at least 160 a day are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvBudget {
    /// The day of `writes`, in days since 1970.
    day: u64,
    writes: u32,
    /// The time of the last write that was no command, in milliseconds since 1970.
    last_write: u64,
}

impl KvBudget {
    /// The writes of a day that are made at once.
    const AT_ONCE: u32 = 100;

    /// The largest number of writes a day without commands.
    pub const MAX_PER_DAY: u32 = 820;

    /// The largest number of writes a day. The others of the 1,000 are a reserve: two processes can
    /// write at the same time, and count once.
    pub const MAX_WITH_COMMANDS: u32 = 980;

    /// The time between later writes, in milliseconds.
    const INTERVAL_MS: u64 = 120_000;

    const DAY_MS: u64 = 86_400_000;

    /// Returns whether a write is allowed at `now`, in milliseconds since 1970.
    pub const fn allows(&self, now: u64) -> bool {
        self.next_at(now) <= now
    }

    /// Returns when the next write is allowed: `now`, or at most two minutes later.
    pub const fn next_at(&self, now: u64) -> u64 {
        let is_limited = now / Self::DAY_MS <= self.day && self.writes >= Self::AT_ONCE;
        // A last write in the future: the clock was set back.
        if !is_limited || now < self.last_write {
            return now;
        }
        let after_last = self.last_write.saturating_add(Self::INTERVAL_MS);
        let next_day = self.day.saturating_add(1).saturating_mul(Self::DAY_MS);
        let next = if after_last < next_day { after_last } else { next_day };
        if next > now { next } else { now }
    }

    /// Records a write, whatever its result is.
    pub const fn record(&mut self, now: u64) {
        self.count(now);
        self.last_write = now;
    }

    /// Records the write of a command, if it is allowed at `now`.
    ///
    /// # Errors
    /// The time until the next day, in milliseconds, if the writes that are left may be needed for
    /// the states of servers.
    pub const fn record_command(&mut self, now: u64) -> Result<(), u64> {
        let mut after = *self;
        after.count(now);
        let left = after.day.saturating_add(1).saturating_mul(Self::DAY_MS).saturating_sub(now);
        let at_once = Self::AT_ONCE.saturating_sub(after.writes) as u64;
        let needed = at_once.saturating_add(left.div_ceil(Self::INTERVAL_MS));
        if (after.writes as u64).saturating_add(needed) > Self::MAX_WITH_COMMANDS as u64 {
            return Err(left);
        }
        *self = after;
        Ok(())
    }

    /// Counts a write on its day. The day does not begin again if the clock is set back.
    const fn count(&mut self, now: u64) {
        if now / Self::DAY_MS > self.day {
            self.day = now / Self::DAY_MS;
            self.writes = 0;
        }
        self.writes = self.writes.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000;
    const DAY: u64 = KvBudget::DAY_MS;
    const START: u64 = 20_000 * DAY;

    #[test]
    fn a_hundred_writes_are_made_at_once_and_one_every_two_minutes() {
        let mut budget = KvBudget::default();
        for write in 0..100 {
            assert!(budget.allows(START + write), "{write}");
            budget.record(START + write);
        }
        assert_eq!(budget.next_at(START + 99), START + 99 + 2 * MINUTE);
        assert!(!budget.allows(START + 2 * MINUTE) && budget.allows(START + 99 + 2 * MINUTE));
        budget.record(START + 5 * MINUTE);
        assert_eq!(budget.next_at(START + 5 * MINUTE), START + 7 * MINUTE);
        let last = START + DAY - MINUTE;
        budget.record(last);
        assert_eq!(budget.next_at(last), START + DAY, "the next day begins before the two minutes are over");
        assert!(budget.allows(START + DAY));
        budget.record(START + DAY);
        assert!(budget.allows(START + DAY), "a hundred writes again");
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_write() {
        let mut budget = KvBudget::default();
        (0..100).for_each(|_| budget.record(START + 400 * DAY));
        assert!(budget.allows(START));
        budget.record(START);
        assert_eq!(budget.next_at(START), START + 2 * MINUTE, "the day does not begin again");
    }

    #[test]
    fn commands_are_refused_until_the_next_day() {
        let mut budget = KvBudget::default();
        let accepted = (0..).take_while(|second| budget.record_command(START + second * 1_000).is_ok()).count();
        assert!((260..=262).contains(&accepted), "{accepted}");
        assert_eq!(budget.record_command(START + 5 * MINUTE), Err(DAY - 5 * MINUTE));
        assert!(budget.allows(START + 5 * MINUTE), "they delay no other write");
        assert_eq!(budget.record_command(START + DAY), Ok(()));
    }

    proptest! {
        #[test]
        fn commands_leave_the_writes_that_the_states_of_servers_need(
            commands in prop::collection::vec(0..3 * MINUTE, 1..400),
            changes in prop::collection::vec(0..5 * MINUTE, 1..400),
        ) {
            let mut budget = KvBudget::default();
            let (mut writes, mut accepted) = (0, 0);
            let (mut command, mut change) = (START, START);
            let (mut pauses, mut others) = (commands.iter().cycle(), changes.iter().cycle());
            while command < START + DAY || change < START + DAY {
                if command < change {
                    let is_accepted = budget.record_command(command).is_ok();
                    (writes, accepted) = (writes + u32::from(is_accepted), accepted + u32::from(is_accepted));
                    command += pauses.next().unwrap().max(&1);
                } else {
                    let at = budget.next_at(change);
                    prop_assert!(at <= change + KvBudget::INTERVAL_MS);
                    if at == change {
                        budget.record(change);
                        writes += 1;
                        change += others.next().unwrap().max(&1);
                    } else {
                        change = at;
                    }
                }
            }
            prop_assert!(writes <= KvBudget::MAX_WITH_COMMANDS, "{writes}");
            prop_assert!(accepted >= 160, "{accepted}");
        }

        #[test]
        fn no_day_has_more_than_820_writes_and_each_change_is_written_within_two_minutes(
            pauses in prop::sample::select(vec![2_000, 5 * MINUTE, 180 * MINUTE])
                .prop_flat_map(|longest| prop::collection::vec(0..longest, 1..400)),
            changes in 1..50_000_usize,
            start in START..START + DAY,
        ) {
            let (mut budget, mut now) = (KvBudget::default(), start);
            let mut writes = std::collections::BTreeMap::<u64, u32>::new();
            // The time of the oldest change that is not written.
            let mut pending = None;
            for pause in pauses.iter().copied().cycle().take(changes) {
                let next_change = now + pause;
                while let Some(since) = pending {
                    let at = budget.next_at(now);
                    prop_assert!(at >= now && at <= since + KvBudget::INTERVAL_MS);
                    if at > next_change {
                        break;
                    }
                    now = at;
                    prop_assert!(budget.allows(now));
                    budget.record(now);
                    *writes.entry(now / DAY).or_default() += 1;
                    pending = None;
                }
                now = next_change;
                pending.get_or_insert(now);
            }
            prop_assert!(writes.values().all(|writes| *writes <= KvBudget::MAX_PER_DAY), "{writes:?}");
        }
    }
}
