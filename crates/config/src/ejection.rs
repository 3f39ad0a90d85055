//! `ejection`: when a service's servers are left out for failures of real requests.

use tunnel_balancer_core::EjectionSettings;

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::problem::Problem;
use crate::reader::{Field, Key, number, percent};

pub(crate) const KEYS: &[Key<EjectionSettings>] = &[
    ("failures", |ejection, field| field.set(&mut ejection.failures, |value| number(value, 1..=100))),
    ("base", |ejection, field| field.set(&mut ejection.base, |value| duration(value, USUAL))),
    ("max", |ejection, field| field.set(&mut ejection.max, |value| duration(value, USUAL))),
    ("max_percent", |ejection, field| field.set(&mut ejection.max_percent, |value| percent(value, 1..=100))),
];

/// Reads it over what `defaults` gives.
pub(crate) fn ejection(ejection: &mut EjectionSettings, field: Field<'_>) {
    let Some(map) = field.map("a map of ejection settings") else { return };
    let limits = map.written(&["base", "max"]);
    map.apply(ejection, KEYS);
    if ejection.base > ejection.max
        && let Some(field) = limits.blamed()
    {
        let (base, max) = (written(ejection.base), written(ejection.max));
        let message = format!("`base` ({base}) is longer than `max` ({max})");
        let hint = format!("the first ejection cannot be longer than the longest: set `max` to {base} or more");
        field.report(Problem::new(Code::Conflict, message).hint(hint));
    }
}
