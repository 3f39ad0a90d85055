//! Renamed keys and words. An old name is an error whose hint has the new name.

/// The maps around an old name (each followed by a dot), the old name, and the change.
const CHANGES: &[(&str, &str, Change)] = &[
    ("", "served_by", Change::Renamed("served_by_header")),
    ("", "max_in_flight", Change::Renamed("max_requests")),
    ("health_check.", "expect", Change::Renamed("expect_status")),
    ("retry.", "on", Change::Renamed("statuses")),
    ("retry.", "not_on", Change::Renamed("passthrough_statuses")),
    ("retry.", "rounds", Change::Replaced("hold")),
    ("retry.", "try_timeout", Change::Renamed("per_try_timeout")),
    ("retry.", "suspect_after", Change::Renamed("liveness_check_after")),
    ("retry.", "unsafe_methods", Change::Renamed("non_idempotent")),
    ("retry.", "replay_limit", Change::Renamed("max_buffered_body")),
    ("retry.budget.", "per_second", Change::Renamed("min_per_second")),
    ("ejection.", "failures", Change::Renamed("consecutive_failures")),
    ("ejection.", "base", Change::Renamed("base_time")),
    ("ejection.", "max", Change::Renamed("max_time")),
    // Scenarios.
    ("", "patience", Change::Renamed("client_timeout")),
    ("", "does", Change::Renamed("action")),
    ("", "spread", Change::Renamed("stddev")),
    ("", "cut", Change::Renamed("reset_connections")),
    ("", "breaks", Change::Renamed("resets")),
];

enum Change {
    Renamed(&'static str),
    /// Removed, with another key for the same purpose.
    Replaced(&'static str),
}

impl Change {
    const fn successor(&self) -> &'static str {
        match self {
            Self::Renamed(new) | Self::Replaced(new) => new,
        }
    }
}

/// Returns the hint for `word` if it is the old name of one of the `known` names.
pub(crate) fn hint(word: &str, known: &[&str]) -> Option<String> {
    let is_meant = |(_, old, change): &&(&str, &str, Change)| *old == word && known.contains(&change.successor());
    let (maps, old, change) = CHANGES.iter().find(is_meant)?;
    Some(match change {
        Change::Renamed(new) => format!("`{maps}{old}` was renamed to `{new}`"),
        Change::Replaced(new) => format!("`{maps}{old}` was removed: use `{maps}{new}`"),
    })
}
