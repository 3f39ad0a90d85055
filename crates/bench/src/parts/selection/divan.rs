//! Parses divan's output, which has no format for programs. Its tree has groups, below them lines
//! of `name  fastest │ slowest │ median │ ...`, and below a line the number of its allocations.

/// A line of the output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// The group, such as `pick`.
    pub(super) group: String,
    /// The case, such as `failover/even/3`.
    pub(super) name: String,
    /// The median in ns.
    pub(super) nanos: f64,
    /// The allocations per call.
    pub(super) allocations: f64,
}

/// Parses the output of one run.
pub(super) fn read(printed: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let (mut group, mut counts_follow) = (String::new(), false);
    for row in printed.lines() {
        let bare = row.trim_start_matches(['│', '├', '╰', '─', ' ']);
        let columns: Vec<&str> = bare.split('│').map(str::trim).collect();
        let (Some(first), Some(median)) = (columns.first(), columns.get(2)) else { continue };
        if std::mem::take(&mut counts_follow) {
            if let Some(line) = lines.last_mut() {
                line.allocations = median.parse().unwrap_or(f64::NAN);
            }
        } else if *first == "alloc:" {
            counts_follow = true;
        } else if let (Some((name, _)), Some(nanos)) = (first.split_once(' '), nanos(median)) {
            lines.push(Line { group: group.clone(), name: name.to_owned(), nanos, allocations: 0.0 });
        } else if median.is_empty() && columns.len() > 4 && !first.contains(':') && !first.is_empty() {
            group = (*first).to_owned();
        }
    }
    lines
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
        let lines = read(PRINTED);
        let line = |group: &str, name: &str, nanos, allocations| {
            let (group, name) = (group.to_owned(), name.to_owned());
            Line { group, name, nanos, allocations }
        };
        let expected = [
            line("pick", "failover/even/3", 22.64, 0.0),
            line("pingora", "random/even/3", 1876.0, 1.0),
            line("pingora", "random/even/8", 204.6, 0.0),
        ];
        assert_eq!(lines, expected);
    }
}
