//! The consequence of each outcome of an attempt, and of waiting for one.

use http::StatusCode;
use tunnel_balancer_core::{Body, Delivery, Failure, HealthImpact, Outcome, RequestMeta, RetrySettings, Service};

/// Returns the outcomes of an attempt, grouped by their consequence. `servers` is the number of
/// servers that can be tried.
pub(super) fn by_consequence(service: &Service, meta: &RequestMeta, servers: usize) -> Vec<(String, String)> {
    let mut groups: Vec<(String, Vec<u16>, Vec<String>)> = Vec::new();
    let mut add = |outcome: Outcome, code: Option<u16>, name: Option<String>| {
        let consequence = consequence(outcome, service, meta, servers);
        let index = groups.iter().position(|(known, ..)| *known == consequence).unwrap_or_else(|| {
            groups.push((consequence, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        groups[index].1.extend(code);
        groups[index].2.extend(name);
    };
    for failure in [Failure::Connect, Failure::ConnectionLost, Failure::Timeout] {
        add(Outcome::Failed(failure), None, Some(failure.to_string()));
    }
    for code in 200..600 {
        if let Ok(status) = StatusCode::from_u16(code) {
            add(Outcome::Status(status), Some(code), None);
        }
    }
    let named = groups.into_iter().map(|(consequence, codes, mut names)| {
        // The largest group is that of the responses which are passed on.
        if codes.len() > 100 {
            names.push("any other status".to_owned());
        } else {
            names.extend(ranges(&codes));
        }
        (names.join(", "), consequence)
    });
    named.collect()
}

fn consequence(outcome: Outcome, service: &Service, meta: &RequestMeta, servers: usize) -> String {
    let ruling = meta.rule(outcome, &service.retry);
    let impact = match ruling.impact {
        HealthImpact::Fatal => "the server is ejected",
        HealthImpact::Failure => "counts as a failure of the server",
        HealthImpact::Success | HealthImpact::Neutral => "no impact on the server's health",
    };
    match (ruling.retryable, ruling.delivery) {
        (true, _) if servers < 2 => format!("the request fails, as there is no other server; {impact}"),
        (true, Delivery::Never) => format!("retried on the next server, without charge to the retry budget; {impact}"),
        (true, _) => format!("retried on the next server, within the retry budget; {impact}"),
        (false, Delivery::Answered) => "passed on to the client".to_owned(),
        (false, _) if meta.body == Body::Once => {
            format!("the request fails, as a streamed body cannot be sent twice; {impact}")
        }
        (false, _) => format!("the request fails, as {} must not run twice; {impact}", meta.method),
    }
}

/// Returns what happens while there is no response. `servers` is the number of servers that can be
/// tried.
pub(super) fn while_waiting(service: &Service, meta: &RequestMeta, servers: usize) -> Vec<(String, String)> {
    let retry = &service.retry;
    let may_move = meta.rule(Outcome::Failed(Failure::Unresponsive), retry).retryable && servers > 1;
    let mut waits = Vec::new();
    if let Some(limit) = retry.per_try_timeout.filter(|_| may_move) {
        let consequence = "the attempt is canceled and the next server is tried, unless no server responds".to_owned();
        waits.push((format!("no response for {limit:?}"), consequence));
    }
    if service.servers().iter().filter(|server| server.enabled).count() > 1
        && let Some(after) = retry.liveness_check_after
    {
        let hedge = if retry.hedge && servers > 1 && meta.is_hedgeable() { ", and this one is hedged" } else { "" };
        match service.all().iter().find_map(|id| service.health_check_of(id)) {
            Some(check) => {
                let stalled = format!("the server is probed; until it responds, requests prefer other servers{hedge}");
                waits.push(("no response for longer than usual".to_owned(), stalled));
                let end = if may_move { "the next server is tried" } else { "the request fails with 503 10s later" };
                let condition = format!("no response for {:?}, and a failed probe", after + check.timeout);
                waits.push((condition, format!("the server is ejected; {end}")));
            }
            None => {
                let condition = "no response to ten requests for longer than usual".to_owned();
                waits.push((condition, format!("the server is ejected; requests prefer other servers{hedge}")));
            }
        }
    }
    if let Some(hold) = retry.hold {
        let consequence = format!(
            "the request is held for up to {hold:?}, and a server is tried every {:?}",
            RetrySettings::HOLD_INTERVAL
        );
        waits.push(("no server is left".to_owned(), consequence));
    }
    waits
}

/// Returns `502-504` for 502, 503, 504.
fn ranges(codes: &[u16]) -> Vec<String> {
    let chunks = codes.chunk_by(|a, b| a + 1 == *b);
    let range = |chunk: &[u16]| match chunk {
        [first, .., last] => format!("{first}-{last}"),
        _ => chunk.iter().map(ToString::to_string).collect(),
    };
    chunks.map(range).collect()
}
