//! A trace as text.

use serde_json::Value;

use super::Traced;
use crate::plural::count;
use crate::table::{indented_table, list, rounded};

/// Prints a trace: the result, and one step a line.
pub(crate) fn trace(traced: &Traced) -> String {
    let trace = &traced.trace;
    let by = match text(trace, "server") {
        "" => format!("by the balancer ({})", text(trace, "reply")),
        server => format!("from {server}"),
    };
    let (total, attempts) = (time(&trace["total_ms"]), count(traced.attempts() as u64, "attempt"));
    let mut rows = Vec::new();
    for step in list(trace, "steps") {
        rows.extend(step_rows(step));
    }
    let printed = format!("{} {by} in {total}, after {attempts}\n\n", traced.status) + &indented_table(&rows, &[0]);
    match trace["omitted"].as_u64() {
        Some(omitted @ 1..) => printed + &format!("\n  {} left out\n", count(omitted, "step")),
        _ => printed,
    }
}

/// Returns the rows of a step: time, step, server, text.
fn step_rows(step: &Value) -> Vec<[String; 4]> {
    let number = |name: &str| format!("{name} {}", step["attempt"]);
    let row = |what: String, text: String| [time(&step["at_ms"]), what, self::text(step, "server").to_owned(), text];
    match text(step, "step") {
        "select" => {
            let mut what = "select".to_owned();
            let mut at = time(&step["at_ms"]);
            let mut take = |server: &Value| {
                let text = format!("{}{}", standing(server), knowledge(server));
                [std::mem::take(&mut at), std::mem::take(&mut what), self::text(server, "server").to_owned(), text]
            };
            list(step, "servers").iter().map(&mut take).collect()
        }
        "attempt" => vec![row(number("attempt"), attempt(step))],
        "result" => vec![row(number("result"), result(step))],
        "canceled" => {
            let why = "canceled: another attempt was faster, or the request ended";
            vec![row(number("attempt"), format!("{why}, after {}", time(&step["ms"])))]
        }
        "wait" => vec![row("wait".to_owned(), format!("up to {}: {}", time(&step["ms"]), wait(step)))],
        "stop" => vec![row("end".to_owned(), stop(text(step, "reason")).to_owned())],
        "no_server" => vec![row("end".to_owned(), format!("no server can be selected: {}", text(step, "reason")))],
        "refused" => vec![row("end".to_owned(), format!("the request goes to no server: {}", text(step, "reason")))],
        other => vec![row(other.to_owned(), String::new())],
    }
}

fn standing(server: &Value) -> String {
    let known = match text(server, "standing") {
        "selectable" => "may be selected",
        "affinity" => "named by the cookie of the client",
        "trial" => "may be selected: this request decides its probation",
        "slow_start" => "may be selected: its traffic ramps up",
        "last_resort" => "last resort: no server is available",
        "disabled" => "disabled",
        "draining" => "draining: takes no new clients",
        "no_weight" => "takes no traffic: its weight is 0",
        "forced_elsewhere" => "another server is forced",
        "primary_only" => "takes no writes",
        "tried" => "tried before",
        "at_capacity" => "at its limit of requests",
        "unhealthy" => "its health check fails",
        "ejected" => return format!("ejected for another {}", age(&server["ejected_for_ms"])),
        "trial_in_flight" => "another request decides its probation",
        "probation" => "on probation: a request that can be retried decides",
        "stalled" => "stalled: responds to nothing",
        "awaiting_failback" => "held back by failback",
        "recent_failure" => "failed recently, and this request could not be retried",
        "standby" => "backup: another server is available",
        "affinity_elsewhere" => "the cookie of the client names another server",
        other => other,
    };
    known.to_owned()
}

/// Returns the health of a server, and where that is known from.
fn knowledge(server: &Value) -> String {
    let source = match text(server, "source") {
        "probe" => "by a probe",
        "traffic" => "by a request",
        "shared" => "by another process",
        _ => return String::new(),
    };
    format!(" ({}; newest signal {source}, {} ago)", text(server, "health"), age(&server["age_ms"]))
}

fn attempt(step: &Value) -> String {
    let flags = [
        ("hedge", "hedge: the server of the other attempt does not respond"),
        ("trial", "trial: its result decides whether the server takes traffic again"),
        ("last_resort", "last resort"),
    ];
    flags.iter().filter(|(name, _)| step[*name] == true).map(|(_, text)| *text).collect::<Vec<_>>().join("; ")
}

fn result(step: &Value) -> String {
    let outcome = match (text(step, "outcome"), step["status"].as_u64()) {
        (_, Some(status)) => format!("status {status}"),
        (outcome, None) => outcome.to_owned(),
    };
    let detail = Some(text(step, "detail")).filter(|detail| !detail.is_empty());
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let consequence = match (text(step, "delivery"), step["retryable"] == true) {
        ("never", true) => ": never delivered, may be sent again",
        ("never", false) => ": never delivered, but its body was streamed",
        ("unknown", true) => ": may have run, may be sent again",
        ("unknown", false) => ": may have run, is not sent again",
        _ => "",
    };
    format!("{outcome}{detail} after {}{consequence}", time(&step["ms"]))
}

fn wait(step: &Value) -> &str {
    match text(step, "reason") {
        "held" => "held until a server returns",
        "held_at_capacity" => "held until a server has a free place",
        "trial_in_flight" => "another request shows whether the server has recovered",
        other => other,
    }
}

fn stop(reason: &str) -> &str {
    match reason {
        "responded" => "the application responded",
        "not_idempotent" => "the request may have run, and must not run twice",
        "body_not_replayable" => "the body was streamed, and cannot be sent again",
        "client_aborted" => "the client did not send the whole request",
        "attempts_used_up" => "the number of attempts is used up",
        "budget_used_up" => "the retry budget is used up",
        "timed_out" => "the time of the request is over",
        other => other,
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn time(millis: &Value) -> String {
    let millis = millis.as_u64().unwrap_or_default();
    if millis < 1_000 { format!("{millis}ms") } else { format!("{}.{:03}s", millis / 1_000, millis % 1_000) }
}

/// Returns a time without its fraction of a second.
fn age(millis: &Value) -> String {
    let millis = millis.as_u64().unwrap_or_default();
    if millis < 1_000 { format!("{millis}ms") } else { rounded(millis) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_retried_request_is_explained() {
        let trace = json!({
            "result": "served", "server": "b", "total_ms": 3007,
            "steps": [
                { "at_ms": 0, "step": "select", "servers": [
                    { "server": "a", "standing": "selectable", "health": "healthy",
                      "source": "probe", "age_ms": 4000 },
                    { "server": "b", "standing": "ejected", "ejected_for_ms": 7500, "health": "unknown" },
                ] },
                { "at_ms": 0, "step": "attempt", "attempt": 1, "server": "a", "trial": true },
                { "at_ms": 12, "step": "result", "attempt": 1, "server": "a", "ms": 12,
                  "outcome": "connect_failed", "detail": "connection refused", "delivery": "never", "retryable": true },
                { "at_ms": 12, "step": "wait", "ms": 250, "reason": "held" },
                { "at_ms": 3007, "step": "stop", "reason": "responded" },
            ],
            "omitted": 1,
        });
        expect![[r#"
            200 from b in 3.007s, after 1 attempt

                 0ms  select     a  may be selected (healthy; newest signal by a probe, 4s ago)
                                 b  ejected for another 8s
                 0ms  attempt 1  a  trial: its result decides whether the server takes traffic again
                12ms  result 1   a  connect_failed (connection refused) after 12ms: never delivered, may be sent again
                12ms  wait          up to 250ms: held until a server returns
              3.007s  end           the application responded

              1 step left out
        "#]]
        .assert_eq(&super::trace(&Traced { status: 200, trace }));
    }

    #[test]
    fn a_local_reply_is_explained() {
        let steps = json!([{ "at_ms": 0, "step": "refused", "reason": "maintenance" }]);
        let trace = json!({ "result": "local_reply", "reply": "maintenance", "total_ms": 0, "steps": steps });
        expect![[r#"
            503 by the balancer (maintenance) in 0ms, after 0 attempts

              0ms  end    the request goes to no server: maintenance
        "#]]
        .assert_eq(&super::trace(&Traced { status: 503, trace }));
    }
}
