//! Figures of a running process, from `/proc`.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Returns the CPU time that the process and its children have used, of all their threads that
/// still run.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for pid in family(pid) {
        for task in tasks(pid)? {
            // Time on a CPU in ns, time in the queue, number of slices. A thread may have ended.
            let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default();
            nanos += text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Returns the memory in bytes that the process and its children have in RAM.
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    family(pid).into_iter().map(|pid| status(pid, "VmRSS:").map(|kilobytes| kilobytes * 1024)).sum()
}

/// Returns the number of open file descriptors.
pub(crate) fn descriptors(pid: u32) -> Result<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| format!("process {pid}: {error}"))?;
    Ok(entries.count())
}

/// Returns the process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        next += 1;
        for task in tasks(pid).unwrap_or_default() {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

fn tasks(pid: u32) -> Result<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("process {pid}: {error}"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("process {pid}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("process {pid}: no {field} in its status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_counted() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        let mut sum = 0_u64;
        while cpu(pid).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(resident_memory(pid).unwrap() > 100_000);
        assert!(descriptors(pid).unwrap() >= 3);
    }
}
