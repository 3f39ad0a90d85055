//! The machine of a run.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine and the time of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The start of the run, in seconds since 1970.
    pub(crate) started_at: u64,
    /// The model of the CPU.
    pub(crate) cpu: String,
    /// The number of CPUs that this process may use.
    pub(crate) cpus: usize,
    /// The version of the kernel.
    pub(crate) kernel: String,
}

/// Describes this machine.
pub(crate) fn describe() -> Machine {
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = model.map_or("unknown", |(_, model)| model).to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let cpus = std::thread::available_parallelism().map_or(1, Into::into);
    Machine { started_at, cpu, cpus, kernel }
}

/// Returns the load average of the last minute: above the number of CPUs, other programs disturb
/// the measurement.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default()
}
