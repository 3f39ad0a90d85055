//! `failback`: when traffic returns to a server that was away.

use tunnel_balancer_core::{Failback, Policy};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration};
use crate::node::Value;
use crate::policy;
use crate::problem::Problem;
use crate::reader::{Field, word};
use crate::shape::{About, Shape, words};

const EXPECTED: &str = "`auto`, `manual` or `{ after: 10m }`";

const WORDS: &[(&str, Failback)] = &[("auto", Failback::Auto), ("manual", Failback::Manual)];

pub(crate) const SHAPE: Shape = Shape::Shared(
    "failback",
    &Shape::OneOf(&[
        Shape::Words(|| words(WORDS)),
        Shape::Map(|| vec![About::required("after", "How long it must have been usable.", Shape::Duration(USUAL))]),
    ]),
);

/// Reads it over what `defaults` gives.
pub(crate) fn failback(failback: &mut Failback, field: Field<'_>) {
    let Value::Map(_) = field.value() else {
        return field.set(failback, |value| {
            word(value, "failback", EXPECTED, WORDS).map_err(|problem| match value {
                Value::Text(text) if duration(value, USUAL).is_ok() => {
                    problem.hint(format!("write `{{ after: {text} }}`"))
                }
                _ => problem,
            })
        });
    };
    let Some(mut map) = field.map(EXPECTED) else { return };
    let after = map.require("after", "write `{ after: 10m }`");
    map.finish();
    if let Some(after) = after.and_then(|after| after.read(|value| duration(value, USUAL))) {
        *failback = Failback::After(after);
    }
}

/// Why the two cannot be used together, if they cannot.
pub(crate) fn conflict(failback: Failback, policy: &Policy) -> Option<Problem> {
    if failback == Failback::Auto || *policy == Policy::Failover {
        return None;
    }
    let name = policy::name(policy);
    let problem = Problem::new(Code::Conflict, format!("`failback` does nothing with the policy `{name}`"));
    Some(problem.hint(
        "only with `policy: failover` is there a preferred server to return to; with any other write `failback: auto`, \
         and `slow_start` for a gentle return",
    ))
}
