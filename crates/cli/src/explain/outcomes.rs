//! What follows from each outcome of an attempt, and from waiting.

use http::StatusCode;
use tunnel_balancer_core::{Body, Delivery, Failure, HealthImpact, Outcome, RequestMeta, Service};

/// Returns the outcomes of an attempt, grouped by what follows. `servers` is how many can be asked.
pub(super) fn of(service: &Service, info: &RequestMeta, servers: usize) -> Vec<(String, String)> {
    let retry = &service.retry;
    let fate = |outcome: Outcome| {
        let ruling = info.rule(outcome, retry);
        let blame = match ruling.impact {
            HealthImpact::Fatal => "the server is left out at once",
            HealthImpact::Failure => "it counts against the server",
            HealthImpact::Success | HealthImpact::Neutral => "no server is blamed",
        };
        match (ruling.retryable, ruling.delivery) {
            (true, _) if servers < 2 => format!("is the end: no other server is asked; {blame}"),
            (true, Delivery::Never) => format!("goes to the next server, free of the budget; {blame}"),
            (true, _) => format!("goes to the next server, within the budget; {blame}"),
            (false, Delivery::Answered) => "is passed on".to_owned(),
            (false, _) => format!("is the end: {} must not be sent twice; {blame}", what(info)),
        }
    };
    let mut groups: Vec<(String, Vec<u16>, Vec<&str>)> = Vec::new();
    let mut add = |fate: String, code: Option<u16>, name: Option<&'static str>| {
        let place = groups.iter().position(|(known, ..)| *known == fate).unwrap_or_else(|| {
            groups.push((fate, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.extend(code);
        groups[place].2.extend(name);
    };
    let failures = [
        (Failure::Connect, "no connection"),
        (Failure::ConnectionLost, "a broken connection"),
        (Failure::Timeout, "no answer in time"),
    ];
    for (failure, name) in failures {
        add(fate(Outcome::Failed(failure)), None, Some(name));
    }
    for code in 200..600 {
        if let Ok(status) = StatusCode::from_u16(code) {
            add(fate(Outcome::Status(status)), Some(code), None);
        }
    }
    let named = groups.into_iter().map(|(fate, codes, names)| {
        let mut parts: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // The rest need not be counted out.
        if codes.len() > 100 {
            parts.push("any other status".to_owned())
        } else {
            parts.extend(ranges(&codes))
        }
        (parts.join(", "), fate)
    });
    named.collect()
}

/// Returns what happens to a request that has no response yet. `servers` is how many can be asked.
pub(super) fn while_waiting(service: &Service, info: &RequestMeta, servers: usize) -> Vec<(String, String)> {
    let retry = &service.retry;
    let given_up = info.rule(Outcome::Failed(Failure::Unresponsive), retry);
    let mut waits = Vec::new();
    if servers > 1
        && let Some(limit) = retry.per_try_timeout.filter(|_| given_up.retryable)
    {
        let what = "the attempt is cut if another one is possible, unless no server responds".to_owned();
        waits.push((format!("no answer for {limit:?}"), what));
    }
    if service.servers().iter().filter(|server| server.enabled).count() > 1
        && let Some(after) = retry.liveness_check_after
    {
        let hedge = if retry.hedge && servers > 1 && info.is_hedgeable() {
            ", and the request is sent to one of them as well"
        } else {
            ""
        };
        match &service.health_check {
            Some(check) => {
                let what = format!("the server is probed; while the probe is unanswered, others are preferred{hedge}");
                waits.push(("no answer for longer than usual".to_owned(), what));
                let goes_on = given_up.retryable && servers > 1;
                let end = if goes_on { "the next server is asked" } else { "the request ends with 503 after 10s more" };
                let what = format!("the server is left out; {end}");
                waits.push((format!("no answer for {:?}, and a failed probe", after + check.timeout), what));
            }
            None => {
                let what = format!("the server is left out{hedge}");
                waits.push(("no answer to ten requests for longer than usual".to_owned(), what));
            }
        }
    }
    if let Some(hold) = retry.hold {
        let what = format!("the request is held for up to {hold:?}, and sent to one of them every 250ms");
        waits.push(("no server is left".to_owned(), what));
    }
    waits
}

fn what(info: &RequestMeta) -> String {
    if info.body == Body::Once { "what has streamed".to_owned() } else { info.method.to_string() }
}

/// `502-504` for 502, 503, 504.
fn ranges(codes: &[u16]) -> Vec<String> {
    let chunks = codes.chunk_by(|a, b| a + 1 == *b);
    chunks
        .map(|chunk| match chunk {
            [first, .., last] => format!("{first}-{last}"),
            _ => chunk.iter().map(ToString::to_string).collect(),
        })
        .collect()
}
