//! `failback`: when traffic returns to a preferred server.

use tunnel_balancer_core::{Failback, Policy};

use crate::diagnostic::Code;
use crate::duration::{DEFAULT_RANGE, duration};
use crate::node::Value;
use crate::policy;
use crate::reader::{Field, one_of};
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
                ValueSchema::Duration(DEFAULT_RANGE),
            )]
        }),
    ]),
);

/// Reads it over the value of `defaults`.
pub(crate) fn failback(failback: &mut Failback, field: Field<'_>) {
    let Value::Map(_) = field.value() else {
        return field.set(failback, |value| {
            one_of(value, "failback", EXPECTED, WORDS).map_err(|report| match value {
                Value::String(text) if duration(value, DEFAULT_RANGE).is_ok() => {
                    report.hint(format!("write `{{ after: {text} }}`"))
                }
                _ => report,
            })
        });
    };
    let Some(mut map) = field.map(EXPECTED) else { return };
    let after = map.required("after", "write `{ after: 10m }`");
    map.deny_unknown();
    if let Some(after) = after.and_then(|after| after.read(|value| duration(value, DEFAULT_RANGE))) {
        *failback = Failback::After(after);
    }
}

/// Returns the conflict of a failback setting with a policy, if there is one.
pub(crate) fn conflict(failback: Failback, policy: &Policy) -> Option<Report> {
    if failback == Failback::Auto || *policy == Policy::Failover {
        return None;
    }
    let name = policy::name(policy);
    let report = Report::new(Code::Conflict, format!("`failback` has no effect with the policy `{name}`"));
    Some(report.hint(
        "remove it, or write `policy: failover`, which alone has a preferred server; `slow_start` makes the return \
         gradual",
    ))
}
