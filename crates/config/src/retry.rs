//! `retry`: when and how often a request is retried.

use tunnel_balancer_core::{BudgetSettings, Conflict, RetrySettings, limits};

use crate::diagnostic::Code;
use crate::duration::{duration, format_duration};
use crate::node::Value;
use crate::primitives::{boolean, number, or_disabled, percent};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::size::size;
use crate::statuses::{format_statuses, statuses};
use crate::subrequests::MAX_SUBREQUESTS;
use crate::value_schema::ValueSchema;

pub(crate) const KEYS: &[Setting<RetrySettings>] = &[
    Setting::new(
        "attempts",
        "3",
        "The largest number of attempts for one request, the first and hedges included. `1`: no retries.",
        ValueSchema::Number(limits::ATTEMPTS),
        |retry, field| field.set(&mut retry.attempts, attempts),
    ),
    Setting::new(
        "hold",
        "false",
        "How long a request waits for an available server, or for a free place under `max_requests`, before it gets \
         503. `false`: it does not wait.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Duration(limits::HOLD)]),
        |retry, field| field.set(&mut retry.hold, |value| or_disabled(value, |value| duration(value, limits::HOLD))),
    ),
    Setting::new(
        "timeout",
        "100s",
        "The time limit for a response, over all attempts, from the arrival of the request or the end of its upload.",
        ValueSchema::Duration(limits::TIMEOUT),
        |retry, field| field.set(&mut retry.timeout, |value| duration(value, limits::TIMEOUT)),
    ),
    Setting::new(
        "per_try_timeout",
        "false",
        "The time limit of an attempt after which a retry is possible, no longer than `timeout`. It also ends slow \
         responses of healthy servers. It does not apply to the last possible attempt, to requests that cannot be \
         retried, and while no server responds. `false`: `timeout` is the only limit.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Duration(limits::DURATION)]),
        |retry, field| {
            field
                .set(&mut retry.per_try_timeout, |value| or_disabled(value, |value| duration(value, limits::DURATION)));
        },
    ),
    Setting::new(
        "liveness_check_after",
        "3s",
        "The longest wait for response headers before the liveness of the server is checked. A check is due earlier, \
         after 250ms or the usual response time of the server. If it responds to neither requests nor probes, other \
         servers are preferred; when this time and the probe's `timeout` have passed and the probe fails, it is \
         ejected. If ten requests get no response for longer than usual, it is ejected whatever its probes show; \
         without a health check, that is the only sign. The only server of a service is not checked. `false`: no \
         checks.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Duration(limits::LIVENESS_CHECK_AFTER)]),
        |retry, field| {
            let read = |value| or_disabled(value, |value| duration(value, limits::LIVENESS_CHECK_AFTER));
            field.set(&mut retry.liveness_check_after, read);
        },
    ),
    Setting::new(
        "hedge",
        "true",
        "Whether a safe request that waits for a stalled server is also sent to another one. The first success is \
         used. Requests with an affinity cookie are not hedged.",
        ValueSchema::Boolean,
        |retry, field| field.set(&mut retry.hedge, boolean),
    ),
    Setting::new(
        "statuses",
        "[]",
        "Statuses that are retried in addition, such as `500` or `[429, 500-501]`. Those of a failed gateway always \
         are: 502 to 504, 520 to 527 and 530, but not 500. Statuses below 500 do not count as failures of the server.",
        ValueSchema::Statuses { least: *limits::RETRIED_STATUS.start(), may_be_empty: true },
        |retry, field| {
            if let Some(ranges) = statuses(field, &limits::RETRIED_STATUS) {
                retry.statuses = ranges;
            }
        },
    ),
    Setting::new(
        "passthrough_statuses",
        "[]",
        "Statuses that are returned to the client although they would be retried.",
        ValueSchema::Statuses { least: *limits::STATUS.start(), may_be_empty: true },
        |retry, field| {
            if let Some(ranges) = statuses(field, &limits::STATUS) {
                retry.passthrough_statuses = ranges;
            }
        },
    ),
    Setting::new(
        "non_idempotent",
        "false",
        "Whether non-idempotent requests, such as POST, are retried even if a server may have processed them.",
        ValueSchema::Boolean,
        |retry, field| field.set(&mut retry.non_idempotent, boolean),
    ),
    Setting::new(
        "budget",
        "",
        "The allowance for retries, which protects overloaded servers, and one of the same size for hedges. A request \
         that no server received is retried outside of it.",
        ValueSchema::Map(|| Setting::docs(BUDGET_KEYS)),
        |retry, field| {
            if let Some(map) = field.map("a map such as `{ percent: 20, min_per_second: 1 }`") {
                map.read_into(&mut retry.budget, BUDGET_KEYS);
            }
        },
    ),
    Setting::new(
        "max_buffered_body",
        "64KiB",
        "The largest request body that is buffered for retries. A larger one is sent once.",
        ValueSchema::Size(limits::MAX_BUFFERED_BODY),
        |retry, field| field.set(&mut retry.max_buffered_body, |value| size(value, limits::MAX_BUFFERED_BODY)),
    ),
];

pub(crate) const BUDGET_KEYS: &[Setting<BudgetSettings>] = &[
    Setting::new(
        "percent",
        "20",
        "Retries, or hedges, in percent of the requests of the last ten seconds.",
        ValueSchema::Percent(limits::BUDGET_PERCENT),
        |budget, field| field.set(&mut budget.percent, |value| percent(value, limits::BUDGET_PERCENT)),
    ),
    Setting::new(
        "min_per_second",
        "1",
        "Retries, or hedges, per second that are always allowed.",
        ValueSchema::Number(limits::BUDGET_MIN_PER_SECOND),
        |budget, field| field.set(&mut budget.min_per_second, |value| number(value, limits::BUDGET_MIN_PER_SECOND)),
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared("retry", &ValueSchema::Map(|| Setting::docs(KEYS)));

/// Reads it over the value of `defaults`.
pub(crate) fn retry(retry: &mut RetrySettings, field: Field<'_>) {
    if let Value::Bool(false) = field.value() {
        let report = Report::wrong_type("a map of retry settings", field.value());
        return field.report(report.hint("write `{ attempts: 1 }` for no retries"));
    }
    if let Value::Integer(attempts) = field.value() {
        let report = Report::wrong_type("a map of retry settings", field.value());
        return field.report(report.hint(format!("write `{{ attempts: {attempts} }}`")));
    }
    let Some(map) = field.map("a map of retry settings") else { return };
    let times = map.present(&["per_try_timeout", "timeout"]);
    let statuses = map.present(&["passthrough_statuses", "statuses"]);
    map.read_into(retry, KEYS);
    for conflict in retry.conflicts() {
        match conflict {
            Conflict::TooLong { duration, longest, .. } => {
                let (limit, timeout) = (format_duration(duration), format_duration(longest));
                let message = format!("`per_try_timeout` ({limit}) is longer than `timeout` ({timeout})");
                let report = Report::new(Code::Conflict, message);
                times.report(report.hint(format!("set `per_try_timeout` to {timeout} or less")));
            }
            Conflict::Statuses(first, last) => {
                let both = format_statuses(first, last);
                let message = format!("`statuses` and `passthrough_statuses` both have {both}");
                statuses.report(Report::new(Code::Conflict, message).hint("remove it from one of them"));
            }
            _ => {}
        }
    }
}

fn attempts(value: &Value<'_>) -> Result<u32, Report> {
    number(value, limits::ATTEMPTS).map_err(|report| match value {
        Value::Integer(1..) => report.hint(format!(
            "write {} or less: a request can make {MAX_SUBREQUESTS} subrequests, which include attempts and probes",
            limits::ATTEMPTS.end()
        )),
        Value::Integer(0) => report.hint("write `1` for no retries: the first attempt counts"),
        _ => report,
    })
}
