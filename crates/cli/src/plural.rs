//! Numbers with their nouns.

/// Returns `0 servers`, `1 server`, `2 servers`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
}

/// Returns the same as [`count`], with `no servers` for 0.
pub(crate) fn count_or_none(number: u64, noun: &str) -> String {
    if number == 0 { format!("no {noun}s") } else { count(number, noun) }
}
