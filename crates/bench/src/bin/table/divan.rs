//! Parses divan's output, which has no format for programs. Its tree has groups, below them lines
//! of `name  fastest │ slowest │ median │ ...`, and below a line the number of its allocations.

use std::collections::BTreeMap;

/// The median of a line in ns, and allocations per call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
}

/// All lines, by group and name.
#[derive(Debug, Default)]
pub(crate) struct Measurements(BTreeMap<(String, String), Measured>);

impl Measurements {
    pub(crate) fn get(&self, group: &str, name: &str) -> Option<Measured> {
        self.0.get(&(group.to_owned(), name.to_owned())).copied()
    }

    pub(crate) fn names<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().filter(move |(of, _)| of == group).map(|(_, name)| name.as_str())
    }

    /// Keeps the smaller time and the larger number of allocations of every line.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, measured) in other.0 {
            self.0
                .entry(key)
                .and_modify(|least| {
                    least.nanos = least.nanos.min(measured.nanos);
                    least.allocations = least.allocations.max(measured.allocations);
                })
                .or_insert(measured);
        }
    }
}

/// Parses the output of one run.
pub(crate) fn read(printed: &str) -> Measurements {
    let mut measurements = Measurements::default();
    let (mut group, mut line) = (String::new(), None);
    let mut counts_follow = false;
    for row in printed.lines() {
        let bare = row.trim_start_matches(['│', '├', '╰', '─', ' ']);
        let columns: Vec<&str> = bare.split('│').map(str::trim).collect();
        let (Some(first), Some(median)) = (columns.first(), columns.get(2)) else { continue };
        if std::mem::take(&mut counts_follow) {
            if let Some(measured) = line.as_ref().and_then(|key| measurements.0.get_mut(key)) {
                measured.allocations = median.parse().unwrap_or(f64::NAN);
            }
        } else if *first == "alloc:" {
            counts_follow = true;
        } else if let (Some((name, _)), Some(nanos)) = (first.split_once(' '), nanos(median)) {
            let key = (group.clone(), name.to_owned());
            measurements.0.insert(key.clone(), Measured { nanos, allocations: 0.0 });
            line = Some(key);
        } else if median.is_empty() && columns.len() > 4 && !first.contains(':') && !first.is_empty() {
            group = (*first).to_owned();
        }
    }
    measurements
}

fn nanos(time: &str) -> Option<f64> {
    let (number, unit) = time.split_once(' ')?;
    let scale = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Timer precision: 20 ns
pick                          fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ pick                                     │               │               │               │         │
│  ╰─ failover/even/3         15.74 ns      │ 4.192 µs      │ 22.64 ns      │ 39.48 ns      │ 500     │ 500000
╰─ pingora                                  │               │               │               │         │
   ├─ random/even/3           154.6 ns      │ 817.3 ns      │ 1.876 µs      │ 195.5 ns      │ 500     │ 500000
   │                          max alloc:    │               │               │               │         │
   │                            0.001       │ 0.001         │ 0.001         │ 0.001         │         │
   │                            0.052 B     │ 0.052 B       │ 0.052 B       │ 0.052 B       │         │
   │                          alloc:        │               │               │               │         │
   │                            1           │ 1             │ 1             │ 1             │         │
   │                            52 B        │ 52 B          │ 52 B          │ 52 B          │         │
   ╰─ random/even/8           156.3 ns      │ 393 ns        │ 204.6 ns      │ 211.6 ns      │ 500     │ 500000
";

    #[test]
    fn lines_have_groups_times_and_allocations() {
        let read = read(PRINTED);
        assert_eq!(read.get("pick", "failover/even/3"), Some(Measured { nanos: 22.64, allocations: 0.0 }));
        assert_eq!(read.get("pingora", "random/even/3"), Some(Measured { nanos: 1876.0, allocations: 1.0 }));
        assert_eq!(read.get("pingora", "random/even/8"), Some(Measured { nanos: 204.6, allocations: 0.0 }));
        assert_eq!(read.0.len(), 3, "{read:?}");
    }

    #[test]
    fn smaller_times_and_larger_allocations_of_two_runs_count() {
        let mut least = read(PRINTED);
        least.merge(read(&PRINTED.replace("22.64", "19.9").replace("1.876", "2.001").replace(" 1  ", " 2  ")));
        assert_eq!(least.get("pick", "failover/even/3"), Some(Measured { nanos: 19.9, allocations: 0.0 }));
        assert_eq!(least.get("pingora", "random/even/3"), Some(Measured { nanos: 1876.0, allocations: 2.0 }));
    }
}
