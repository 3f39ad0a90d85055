//! The affinity cookie among others.

use tunnel_balancer_core::cookie;

pub(crate) const SEEDS: &[&str] = &[
    "lb=x",
    "a=1; lb=x; b=2",
    "lb=x; a=1",
    "a=1;lb=x;lb=y;b=2",
    "a=lb=x",
    "albatross=1",
    "LB=x",
    "",
    "; ;",
    " lb = x ; lb",
    "lb=;lb==;=lb",
    "a=\"; lb=x\"",
];

const NAME: &str = "lb";

/// Checks that exactly the cookies of one name are removed, and that the others keep their order.
pub fn cookies(header: &str) {
    let left = cookie::remove(header, NAME).unwrap_or_default();
    assert_eq!(cookie::value_of(&left, NAME), None, "{header:?} became {left:?}");
    let others: Vec<(&str, Option<&str>)> =
        pairs(header).filter(|(name, value)| *name != NAME || value.is_none()).collect();
    assert!(pairs(&left).eq(others), "{header:?} became {left:?}");
    let first = pairs(header).find_map(|(name, value)| value.filter(|_| name == NAME));
    assert_eq!(cookie::value_of(header, NAME), first, "{header:?}");
}

/// Returns the names and values. Empty parts are skipped.
fn pairs(header: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    header.split(';').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (pair, None),
    })
}
