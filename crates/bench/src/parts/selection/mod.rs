//! The cost of a selection, beside pingora, tower and crates for consistent hashing.
//!
//! `crates/bench-peers` measures it with divan. Other programs on the machine only make a run
//! slower, so the smallest of many short runs is the result.

mod divan;

use std::process::Command;

use crate::options::Options;
use crate::sheet::{Metric, OURS, Sheet};
use crate::{Result, root};

const TIME: Metric = Metric::lower("selection", "ns");
const ALLOCATIONS: Metric = Metric::lower("allocations per selection", "");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[TIME, ALLOCATIONS];

/// The name of pingora's hash that is not consistent, and of the policy that it is compared with.
const FNV: (&str, &str) = ("fnv_modulo", "hash_text");

/// Runs the benchmark of `crates/bench-peers`, if it is built.
pub(crate) fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    if options.is_smoke || !root().join("target/bench-peers/release").is_dir() {
        sheet.note("skipped: crates/bench-peers is not built");
        // A selection of the core alone would have nothing beside it.
        return Ok(());
    }
    sheet.note("locked: behind the lock of a pool, as pingora's; exchange: a whole request, as in tower's call");
    sheet.note("the smallest of all rounds; hash_text: of an address; fnv_modulo: pingora's hash, beside hash_text");
    let mut smallest: Vec<divan::Line> = Vec::new();
    for _ in 0..options.rounds {
        for line in run()? {
            match smallest.iter_mut().find(|known| (&known.group, &known.name) == (&line.group, &line.name)) {
                Some(known) => {
                    known.nanos = known.nanos.min(line.nanos);
                    known.allocations = known.allocations.max(line.allocations);
                }
                None => smallest.push(line),
            }
        }
    }
    for line in &smallest {
        let (subject, name) = line.name.split_once(':').unwrap_or_else(|| (subject(&line.group), &line.name));
        sheet.record(TIME, name, subject, line.nanos);
        if subject == OURS && name.starts_with(FNV.1) {
            sheet.record(TIME, &name.replace(FNV.1, FNV.0), subject, line.nanos);
        }
        if line.allocations > 0.0 || subject == OURS {
            sheet.record(ALLOCATIONS, name, subject, line.allocations);
        }
    }
    Ok(())
}

/// Returns the column of a group.
fn subject(group: &str) -> &str {
    match group {
        "pick" => OURS,
        group => group,
    }
}

fn run() -> Result<Vec<divan::Line>> {
    let mut bench = Command::new("cargo");
    bench.current_dir(root().join("crates/bench-peers")).args(["bench", "--quiet", "--bench", "pick"]);
    bench.env("CARGO_TARGET_DIR", root().join("target/bench-peers"));
    let output = bench.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo bench` failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(divan::read(&String::from_utf8_lossy(&output.stdout)))
}
