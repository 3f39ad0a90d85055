//! The fate of each outcome.

use http::StatusCode;
use tunnel_balancer_core::{Body, Delivery, Failure, HealthImpact, Outcome, RequestMeta, Service};

/// What may come of an attempt, grouped by what follows.
pub(super) fn of(service: &Service, info: &RequestMeta) -> Vec<(String, String)> {
    let retry = &service.retry;
    let fate = |outcome: Outcome| {
        let ruling = info.rule(outcome, retry);
        let blame = match ruling.impact {
            HealthImpact::Fatal => "the server is left out at once",
            HealthImpact::Failure => "it counts against the server",
            HealthImpact::Success | HealthImpact::Neutral => "no server is blamed",
        };
        match (ruling.retryable, ruling.delivery) {
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
        (Failure::Unresponsive, "no answer, and a failed probe"),
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
