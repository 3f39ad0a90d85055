//! `failback`: when traffic returns to a preferred server.

use tunnel_balancer_core::{Failback, Policy, limits};

use crate::diagnostic::Code;
use crate::duration::duration;
use crate::node::Value;
use crate::primitives::one_of;
use crate::reader::Field;
use crate::report::Report;
use crate::value_schema::{SettingDoc, ValueSchema, words};

const EXPECTED: &str = "`auto`, `manual` or `{ after: 10m }`";

pub(crate) const WORDS: &[(&str, Failback)] = &[("auto", Failback::Auto), ("manual", Failback::Manual)];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "failback",
    &ValueSchema::OneOf(&[
        ValueSchema::Enum(|| words(WORDS)),
        ValueSchema::Map(|| {
            vec![SettingDoc::required(
                "after",
                "How long the server must have been available.",
                ValueSchema::Duration(limits::DURATION),
            )]
        }),
    ]),
);

/// Reads it over the value of `defaults`.
pub(crate) fn failback(failback: &mut Failback, field: Field<'_>) {
    let Value::Map(_) = field.value() else {
        return field.set(failback, |value| {
            one_of(value, "failback", EXPECTED, WORDS).map_err(|report| match value {
                Value::String(text) if duration(value, limits::DURATION).is_ok() => {
                    report.hint(format!("write `{{ after: {text} }}`"))
                }
                _ => report,
            })
        });
    };
    let Some(mut map) = field.map(EXPECTED) else { return };
    let after = map.required("after", "write `{ after: 10m }`");
    map.deny_unknown();
    if let Some(after) = after.and_then(|after| after.read(|value| duration(value, limits::DURATION))) {
        *failback = Failback::After(after);
    }
}

/// Returns the conflict of a failback setting with a policy, if there is one.
pub(crate) fn conflict(failback: Failback, policy: &Policy) -> Option<Report> {
    let report = Report::new(Code::Conflict, policy.conflict(failback)?.to_string());
    Some(report.hint(
        "remove it, or write `policy: failover`, which alone has a preferred server; `slow_start` makes the return \
         gradual",
    ))
}
