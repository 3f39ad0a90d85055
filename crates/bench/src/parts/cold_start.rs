//! CPU time of a cold isolate: until it listens, and of its first request.

use std::time::{Duration, Instant};

use tunnel_balancer_tests::workerd::BuiltWorker;

use crate::load::{Load, Origin, get};
use crate::options::Options;
use crate::parts::configuration::services;
use crate::parts::in_turns;
use crate::parts::worker::{MINIMAL, Program, SCRIPT};
use crate::sheet::{Metric, OURS, Sheet};
use crate::{Result, process};

const START: Metric = Metric::lower("CPU until it listens", "ms");
const FIRST: Metric = Metric::lower("CPU of the first request", "ms");
const SECOND: Metric = Metric::lower("CPU of the second request", "ms");
const LATENCY: Metric = Metric::lower("latency of the first request", "ms");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[START, FIRST, SECOND, LATENCY];

/// A program with its configuration.
struct Subject {
    row: &'static str,
    name: &'static str,
    program: Program,
    workerd: BuiltWorker,
    yaml: String,
}

/// Measures cold isolates on the workerd of wrangler and on the newest.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    const ONE: [&str; 2] = ["1 service", "1 service (newest workerd)"];
    const MANY: [&str; 2] = ["1,000 services", "1,000 services (newest workerd)"];
    const VARIABLE: [&str; 2] = ["1,000 services in the variable", "1,000 services in the variable (newest workerd)"];
    let origin = Origin::start()?;
    let mut subjects = Vec::new();
    for (index, workerd) in [BuiltWorker::find()?, BuiltWorker::find_newest()?].into_iter().enumerate() {
        sheet.note(workerd.version()?);
        let mut add = |rows: [&'static str; 2], name, program, yaml: String| {
            subjects.push(Subject { row: rows[index], name, program, workerd: workerd.clone(), yaml });
        };
        for name in [SCRIPT, MINIMAL] {
            add(ONE, name, Program::script(name, origin)?, String::new());
        }
        let with_module = Program::Worker(workerd.clone().with_module());
        add(ONE, OURS, with_module.clone(), services(1, "", "", origin));
        add(MANY, OURS, with_module, services(1000, "", "", origin));
        add(VARIABLE, OURS, Program::Worker(workerd.clone()), services(1000, "", "", origin));
    }
    for round in 0..options.rounds {
        for subject in in_turns(&mut subjects, round) {
            subject.measure(sheet).await?;
        }
    }
    Ok(())
}

impl Subject {
    async fn measure(&self, sheet: &mut Sheet) -> Result<()> {
        let (addr, process) = self.program.start(&self.workerd, &self.yaml).await?;
        let load = Load { addr, request: get("/", ""), connections: 1, requests: 1 };
        let mut before = idle(process.id()).await?;
        sheet.record(START, self.row, self.name, milliseconds(before));
        for metric in [FIRST, SECOND] {
            let start = Instant::now();
            load.run().await?;
            if metric == FIRST {
                sheet.record(LATENCY, self.row, self.name, milliseconds(start.elapsed()));
            }
            let after = process::cpu(process.id())?;
            sheet.record(metric, self.row, self.name, milliseconds(after.saturating_sub(before)));
            before = idle(process.id()).await?;
        }
        Ok(())
    }
}

/// Waits until the process does nothing, because V8 compiles in the background. Returns its CPU
/// time.
async fn idle(pid: u32) -> Result<Duration> {
    const QUIET: Duration = Duration::from_micros(300);
    let mut last = process::cpu(pid)?;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = process::cpu(pid)?;
        if now.saturating_sub(last) < QUIET {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
