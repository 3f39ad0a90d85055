//! What a day uses of Cloudflare's free plan, counted on a virtual clock. `docs/shared-health.md`
//! states these figures.

use std::time::Duration;

use tunnel_balancer_core::{Services, Timestamp};
use tunnel_balancer_state::{KvBudget, ProbeRun, ReadBudget, RunBudget, SyncSchedule};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The start of a day.
const START: Timestamp = Timestamp::from_millis(1_700_006_400_000);

/// The rows that a run writes: the alarm that repeats it if it fails, and the next alarm.
/// `tests/shared_health` counts the rows of a real object.
const ROWS_PER_RUN: u32 = 2;

/// The rows of each minute: the record, its summary, that of its hour, and the deletion of one that
/// is a day old.
const ROWS_PER_MINUTE: u32 = 4;

/// The requests to Durable Objects, and the rows written, of a day on the free plan.
const LIMIT: u32 = 100_000;

/// Returns the runs of a day if none has room for all probes, and takes no time.
fn runs() -> u32 {
    let services = Services::new([], 1);
    let (mut budget, mut now, mut runs) = (RunBudget::default(), START, 0);
    while now < START + DAY {
        runs += 1;
        now = now + ProbeRun::start(now).next(&services, true, &mut budget, now);
    }
    runs
}

/// Returns the reads of a day by data centers with continuous traffic: of each one, and of all.
fn reads(data_centers: usize) -> (u32, u32) {
    reads_after(0, data_centers)
}

/// Returns the same if there were `earlier` reads of others.
fn reads_after(earlier: u32, data_centers: usize) -> (u32, u32) {
    let mut budget = ReadBudget::default();
    for _ in 0..earlier {
        budget.on_read(START);
    }
    let mut next = vec![START; data_centers];
    let mut reads = vec![0; data_centers];
    let mut now = START;
    while now < START + DAY {
        for (next, reads) in next.iter_mut().zip(&mut reads) {
            if *next <= now {
                *next = now + budget.on_read(now);
                *reads += 1;
            }
        }
        now = now + Duration::from_secs(1);
    }
    (reads[0], reads.iter().sum())
}

/// Returns the writes to Workers KV of a day in which a state changes each second, and those of
/// commands.
fn kv_writes(has_commands: bool) -> (u32, u32) {
    let (mut budget, mut writes, mut commands) = (KvBudget::default(), 0, 0);
    for second in 0..DAY.as_secs() {
        let now = START.as_millis() + second * 1000;
        if budget.allows(now) {
            budget.record(now);
            writes += 1;
        }
        if has_commands && budget.record_command(now).is_ok() {
            commands += 1;
        }
    }
    (writes, commands)
}

/// Returns the reads of Workers KV by an isolate with a request each second.
fn kv_reads() -> u32 {
    let (mut schedule, mut reads) = (SyncSchedule::new(30_000), 0);
    for second in 0..DAY.as_secs() {
        let now = START.as_millis() + second * 1000;
        if let Some((sync, _)) = schedule.start(now) {
            schedule.finish(sync, true, now);
            reads += 1;
        }
    }
    reads
}

/// Writes a number with commas, as in the docs.
fn figure(number: u32) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// Asserts that the docs have a sentence in their table.
fn assert_documented(sentence: &str) {
    let docs = include_str!("../../../docs/shared-health.md");
    assert!(docs.contains(sentence), "docs/shared-health.md has no `{sentence}`");
}

#[test]
fn a_durable_object_stays_within_the_free_plan() {
    let runs = runs();
    assert_eq!(runs, RunBudget::MAX_RUNS);
    assert_documented(&format!("at most {} alarms", figure(runs)));

    let (slow, _) = reads_after(ReadBudget::FAST_READS, 1);
    let (fast, _) = reads(1);
    let many = (1..).take_while(|count| runs + reads(*count).1 <= LIMIT).last().unwrap();
    assert_documented(&format!("{} reads for each data center with traffic all day", figure(fast)));
    assert_documented(&format!("after {} reads of a day", figure(ReadBudget::FAST_READS)));
    assert_documented(&format!("30 s: {} each", figure(slow)));
    assert_documented(&format!("enough for {many} data centers"));

    let rows = ROWS_PER_RUN * runs + ROWS_PER_MINUTE * 24 * 60;
    assert!(rows + runs <= LIMIT, "with a change in each run");
    assert_documented(&format!(
        "{ROWS_PER_RUN} for each alarm, {ROWS_PER_MINUTE} for each minute, and one for each change of a state: at most \
         {}, and {} if a state changes in each run",
        figure(rows),
        figure(rows + runs)
    ));
}

#[test]
fn workers_kv_stays_within_the_free_plan() {
    let (least, most) = (KvBudget::MAX_PER_DAY, KvBudget::MAX_WITH_COMMANDS);
    let (writes, _) = kv_writes(false);
    assert!((least - 2..=least).contains(&writes), "{writes}");
    let (writes, commands) = kv_writes(true);
    assert!((most - 2..=most).contains(&(writes + commands)), "{writes} and {commands} commands");
    assert_documented(&format!("at most {least}, and one for each command of an operator: at most {most}"));
    assert_documented(&format!("{} for each isolate with traffic all day", figure(kv_reads())));
}
