//! The table: a line for every policy, weighting and number of servers, and the targets.

use std::fmt::Write;

use crate::divan::{Measured, Measurements};

const POLICIES: [&str; 8] =
    ["failover", "round_robin", "random", "least_requests", "latency", "hash", "hash_text", "fnv_modulo"];
const WEIGHTS: [&str; 2] = ["even", "uneven"];
const SERVERS: [u32; 3] = [3, 8, 64];

const NOTES: &str = "\
ns per selection; [n]: allocations. pick: `PoolState::pick`. locked: the same behind `Pool`'s lock, because pingora's
can be called from many threads. exchange: a whole request with an immediate response, as in tower's call.
hash: of a number. hash_text: of an address, beside pingora's ketama. fnv_modulo: of an address, beside its FNVHash.";

/// The table with its notes; `None` without measurements of `pick`.
pub(crate) fn table(measured: &Measurements) -> Option<String> {
    measured.names("pick").next()?;
    let columns = ["pick", "locked", "exchange", "pingora", "tower"];
    let mut text = format!("{:<27}", "policy/weights/servers");
    columns.iter().for_each(|column| _ = write!(text, "{column:>14}"));
    let _ = writeln!(text, "{:>14}{:>16}{:>15}", "pingora/pick", "pingora/locked", "tower/exchange");

    let mut missed = Vec::new();
    for (policy, weights, servers) in lines() {
        let name = format!("{policy}/{weights}/{servers}");
        // pingora has two hashes of an address. Both are compared with the same selection.
        let ours = name.replace("fnv_modulo", "hash_text");
        let [pick, locked, exchange] = ["pick", "locked", "exchange"].map(|group| measured.get(group, &ours));
        let [pingora, tower] = ["pingora", "tower"].map(|group| measured.get(group, &name));
        let Some(cost) = pick else { continue };

        let _ = write!(text, "{name:<27}");
        [pick, locked, exchange, pingora, tower].iter().for_each(|cell| _ = write!(text, "{:>14}", display(*cell)));
        let [by_pick, by_lock, by_exchange] = [(pingora, pick), (pingora, locked), (tower, exchange)].map(ratio);
        let _ = writeln!(text, "{by_pick:>14}{by_lock:>16}{by_exchange:>15}");

        if let Some(target) = target(policy, weights, servers).filter(|target| cost.nanos > *target) {
            missed.push(format!("{name}: {:.1} ns, target {target} ns", cost.nanos));
        }
        if let Some(theirs) = pingora.filter(|theirs| cost.nanos > theirs.nanos) {
            missed.push(format!("{name}: {:.1} ns, pingora {:.1} ns", cost.nanos, theirs.nanos));
        }
    }
    let _ = write!(text, "\nfloor:");
    for name in measured.names("floor") {
        let nanos = measured.get("floor", name).map_or(f64::NAN, |floor| floor.nanos);
        let _ = write!(text, " {name} {nanos:.1} ns;");
    }
    let _ = write!(text, "\n\n{NOTES}\n\n");
    text.push_str(&if missed.is_empty() {
        "All targets are met.".to_owned()
    } else {
        format!("MISSED:\n  {}", missed.join("\n  "))
    });
    Some(text)
}

fn lines() -> impl Iterator<Item = (&'static str, &'static str, u32)> {
    POLICIES.into_iter().flat_map(|policy| {
        WEIGHTS.into_iter().flat_map(move |weights| SERVERS.into_iter().map(move |servers| (policy, weights, servers)))
    })
}

/// The target of a selection among eight equal servers, in ns. The time to hash an address depends
/// on its length, so it has none.
fn target(policy: &str, weights: &str, servers: u32) -> Option<f64> {
    match (policy, weights, servers) {
        ("failover" | "round_robin", "even", 8) => Some(15.0),
        ("random" | "least_requests" | "latency" | "hash", "even", 8) => Some(25.0),
        _ => None,
    }
}

fn display(cell: Option<Measured>) -> String {
    cell.map_or_else(|| "-".to_owned(), |measured| format!("{:.1} [{}]", measured.nanos, measured.allocations))
}

/// How many times slower `theirs` is.
fn ratio((theirs, ours): (Option<Measured>, Option<Measured>)) -> String {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => format!("{:.1}x", theirs.nanos / ours.nanos),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::divan::read;

    const PRINTED: &str = "\
├─ pick              │           │           │           │     │
│  ├─ random/even/3  9 ns        │ 9 ns      │ 50 ns     │ 9 ns │ 1   │ 1
│  ╰─ random/even/8  9 ns        │ 9 ns      │ 25.5 ns   │ 9 ns │ 1   │ 1
╰─ pingora           │           │           │           │     │
   ├─ random/even/3  9 ns        │ 9 ns      │ 200 ns    │ 9 ns │ 1   │ 1
   ╰─ random/even/8  9 ns        │ 9 ns      │ 20 ns     │ 9 ns │ 1   │ 1
";

    #[test]
    fn ratios_and_misses_are_display() {
        let table = table(&read(PRINTED)).unwrap();
        let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(line("random/even/3").contains("4.0x"), "{table}");
        assert!(table.contains("random/even/8: 25.5 ns, target 25 ns"), "{table}");
        assert!(table.contains("random/even/8: 25.5 ns, pingora 20.0 ns"), "{table}");
    }

    #[test]
    fn no_measurements_give_no_table() {
        assert_eq!(table(&read("")), None);
    }
}
