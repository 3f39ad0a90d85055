//! Seeds of fleet tests, and the report of a failed test.
//!
//! A run keeps only counts, because its text would be most of its work. It is determined by its
//! seed, so a failed run is repeated with its text.
//!
//! `FLEET_SEED=7` selects the first seed of every test. `FLEET_SEEDS=40` runs every test for 40
//! seeds, reports the distribution of each figure, and fails at the end if a figure violated its
//! bound.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tunnel_balancer_sim::{Sim, Trace};

/// The seed of a run. If the test fails, it prints the seed and the trace of the last run.
pub(crate) struct Seed(pub(crate) u64, RefCell<Option<(Sim, Duration)>>);

/// Runs a test for `FLEET_SEEDS` seeds, or else for `default` seeds.
pub(crate) fn for_seeds(default: u64, test: impl Fn(&Seed)) {
    let count = variable("FLEET_SEEDS");
    if count.is_some() {
        SURVEY.set(Some(BTreeMap::new()));
    }
    let first = variable("FLEET_SEED").unwrap_or(1);
    for seed in first..first + count.unwrap_or(default) {
        test(&Seed::new(seed));
    }
    if let Some(survey) = SURVEY.take() {
        report(&survey);
    }
}

thread_local! {
    /// All figures of a test that runs for `FLEET_SEEDS`.
    static SURVEY: RefCell<Option<BTreeMap<String, Figure>>> = const { RefCell::new(None) };
}

/// The values of one figure over all seeds.
#[derive(Default)]
struct Figure {
    values: Vec<f64>,
    /// Seeds that violated the bound.
    violations: usize,
}

/// Adds a value to the survey. Returns `false` if there is none.
pub(crate) fn survey(figure: &str, value: f64, is_within_bound: bool) -> bool {
    SURVEY.with_borrow_mut(|survey| {
        let Some(survey) = survey else { return false };
        let figure = survey.entry(figure.to_owned()).or_default();
        figure.values.push(value);
        figure.violations += usize::from(!is_within_bound);
        true
    })
}

fn report(survey: &BTreeMap<String, Figure>) {
    for (name, Figure { values, violations }) in survey {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let (min, max) =
            values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
        let failed = if *violations > 0 { format!("  VIOLATED {violations} times") } else { String::new() };
        println!("{name:<90} mean {mean:.2} sd {deviation:.2} min {min:.2} max {max:.2}{failed}");
    }
    let violated: Vec<_> = survey.iter().filter(|(_, figure)| figure.violations > 0).map(|(name, _)| name).collect();
    assert!(violated.is_empty(), "{} figures violate their bounds: {violated:#?}", violated.len());
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

impl Seed {
    /// The number of trace lines that are printed. A file contains the rest.
    const SHOWN: usize = 60;

    pub(crate) fn new(seed: u64) -> Self {
        Self(seed, RefCell::default())
    }

    /// Runs a simulation and keeps only counts.
    pub(crate) fn run(&self, mut sim: Sim, end: Duration) -> Trace {
        // A run that panics would panic again.
        self.1.take();
        let again = sim.clone();
        sim.counts_only();
        let trace = sim.run(end);
        self.1.replace(Some((again, end)));
        // Otherwise none would be lost.
        assert!(trace.stats.total().arrived > 0, "no request arrived");
        trace
    }

    /// Returns the report of a test that fails now.
    fn failure_report(&self) -> String {
        let mut report = format!("the seed was {}: FLEET_SEED={0} repeats the run\n", self.0);
        if let Some((sim, end)) = self.1.take() {
            let trace = sim.run(end).to_string();
            // Writing to a string cannot fail.
            let _ = writeln!(report, "{}\n{}", save(&trace), excerpt(&trace, Self::SHOWN));
        }
        report
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.failure_report());
        }
    }
}

/// Writes the trace to a file and returns a line with its path.
fn save(trace: &str) -> String {
    let name = thread::current().name().unwrap_or("fleet").replace("::", "-");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("trace");
    let lines = trace.lines().count();
    match std::fs::write(&path, trace) {
        Ok(()) => format!("the trace of its last run, {lines} lines, is in {}", path.display()),
        Err(error) => format!("the trace of its last run, {lines} lines, could not be written: {error}"),
    }
}

/// Returns the lines around the first request that was not served, or else the last lines.
fn excerpt(trace: &str, shown: usize) -> String {
    let lines: Vec<_> = trace.lines().collect();
    let loss = lines.iter().position(|line| line.contains(" <- 5") || line.ends_with(" timed out"));
    let end = loss.map_or(lines.len(), |loss| loss + shown / 2).min(lines.len());
    let excerpt = lines[end.saturating_sub(shown)..end].iter().map(|line| format!("  {line}\n"));
    let title = if loss.is_some() { "around the first request that was not served" } else { "its end" };
    format!("{title}:\n{}", excerpt.collect::<String>())
}
