//! The seed of a test, and what is told of a test that fails.
//!
//! A fleet's run is quiet, because its text would be most of its work, and nobody reads it while all is well. As it is decided
//! by its seed, it can be run again, and then with its text.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tunnel_balancer_sim::{Sim, Trace};

/// The seed of a test. When the test fails, it says which seed it failed for and what happened in the last run.
pub(crate) struct Seed(pub(crate) u64, RefCell<Option<(Sim, Duration)>>);

impl Seed {
    /// Lines of a trace that are shown: about as many as can be read through. The rest is in a file.
    const SHOWN: usize = 60;

    pub(crate) fn new(usual: u64) -> Self {
        let wanted = std::env::var("FLEET_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(wanted.unwrap_or(usual), RefCell::default())
    }

    /// Runs it, quietly.
    pub(crate) fn run(&self, mut sim: Sim, end: Duration) -> Trace {
        // What panics while it runs would do so again.
        self.1.take();
        let again = sim.clone();
        sim.counts_only();
        let trace = sim.run(end);
        self.1.replace(Some((again, end)));
        trace
    }

    /// What to know of the test if it failed now.
    fn story(&self) -> String {
        let mut story = format!("the seed was {}: FLEET_SEED={0} runs it again\n", self.0);
        if let Some((sim, end)) = self.1.take() {
            let trace = sim.run(end).to_string();
            // Writing to a string cannot fail.
            let _ = writeln!(story, "{}\n{}", kept(&trace), around_the_fault(&trace, Self::SHOWN));
        }
        story
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
    }
}

/// Keeps all of it, and says where.
fn kept(trace: &str) -> String {
    let name = thread::current().name().unwrap_or("fleet").replace("::", "-");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("trace");
    let lines = trace.lines().count();
    match std::fs::write(&path, trace) {
        Ok(()) => format!("the trace of its last run, {lines} lines, is in {}", path.display()),
        Err(error) => format!("the trace of its last run, {lines} lines, could not be written: {error}"),
    }
}

/// Some lines around the first request that was not served; where all were, the last.
fn around_the_fault(trace: &str, shown: usize) -> String {
    let lines: Vec<_> = trace.lines().collect();
    let fault = lines.iter().position(|line| line.contains(" <- 5") || line.ends_with(" timed out"));
    let end = fault.map_or(lines.len(), |fault| fault + shown / 2).min(lines.len());
    let excerpt = lines[end.saturating_sub(shown)..end].iter().map(|line| format!("  {line}\n"));
    let what = if fault.is_some() { "around the first request that was not served" } else { "the end of it" };
    format!("{what}:\n{}", excerpt.collect::<String>())
}
