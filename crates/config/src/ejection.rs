//! `ejection`: when a service's servers are left out for failures of real requests.

use std::ops::RangeInclusive;

use tunnel_balancer_core::EjectionSettings;

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::problem::Problem;
use crate::reader::{Field, Key, number, percent};
use crate::shape::Shape;

pub(crate) const KEYS: &[Key<EjectionSettings>] = &[
    Key::new(
        "failures",
        "Doubtful failures in a row that eject. A tunnel that is down ejects at once.",
        Shape::Number(FAILURES),
        |ejection, field| field.set(&mut ejection.consecutive_failures, |value| number(value, FAILURES)),
    ),
    Key::new(
        "base",
        "How long the first time; each further time is twice as long.",
        Shape::Duration(USUAL),
        |ejection, field| field.set(&mut ejection.base_time, |value| duration(value, USUAL)),
    ),
    Key::new("max", "The longest.", Shape::Duration(USUAL), |ejection, field| {
        field.set(&mut ejection.max_time, |value| duration(value, USUAL));
    }),
    Key::new(
        "max_percent",
        "The most servers that are left out at a time, in percent of all; one always may be.",
        Shape::Percent(MAX_PERCENT),
        |ejection, field| field.set(&mut ejection.max_percent, |value| percent(value, MAX_PERCENT)),
    ),
];

pub(crate) const SHAPE: Shape = Shape::Shared("ejection", &Shape::Map(|| Key::about(KEYS)));

const FAILURES: RangeInclusive<u32> = 1..=100;
const MAX_PERCENT: RangeInclusive<u32> = 1..=100;

/// Reads it over what `defaults` gives.
pub(crate) fn ejection(ejection: &mut EjectionSettings, field: Field<'_>) {
    let Some(map) = field.map("a map of ejection settings") else { return };
    let limits = map.written(&["base", "max"]);
    map.apply(ejection, KEYS);
    if ejection.base_time > ejection.max_time
        && let Some(field) = limits.blamed()
    {
        let (base, max) = (written(ejection.base_time), written(ejection.max_time));
        let message = format!("`base` ({base}) is longer than `max` ({max})");
        let hint = format!("the first ejection cannot be longer than the longest: set `max` to {base} or more");
        field.report(Problem::new(Code::Conflict, message).hint(hint));
    }
}
