//! The response headers of a request that asks for its trace.
//!
//! `docs/trace.md` documents the format.

use std::time::Duration;

use tunnel_balancer_core::{
    AttemptInfo, Candidate, LocalReply, Outcome, Reason, ServerId, Service, StopReason, Trace, TraceEvent, TraceStep,
};

use crate::json::Object;

/// The version of the format of [`TRACE_HEADER`](tunnel_balancer_core::headers::TRACE_HEADER).
const TRACE_VERSION: u64 = 1;

/// The longest value of the header, in bytes. Steps are omitted from a longer trace.
const MAX_LEN: usize = 8 * 1024;

/// Returns the value of `X-Balancer-Trace`: JSON in ASCII, of at most 8 KB. `result` is the server
/// that responded, or the reply of the balancer.
pub(crate) fn trace_header(trace: &Trace, service: &Service, result: Result<ServerId, LocalReply>) -> String {
    let mut count = trace.steps().len();
    loop {
        let text = ascii(&document(trace, count, service, result));
        if text.len() <= MAX_LEN || count == 0 {
            return text;
        }
        count = (count * MAX_LEN / text.len()).min(count - 1);
    }
}

/// Returns the value of `Server-Timing`: the time of the request, and of each attempt.
pub(crate) fn server_timing(trace: &Trace, service: &Service) -> String {
    /// The largest number of attempts.
    const MAX_ATTEMPTS: usize = 16;
    let attempt = |step: &TraceStep| match &step.event {
        TraceEvent::AttemptFinished { info, outcome, duration, .. } => {
            let desc = format!("{} {}", server_name(service, info.server), outcome_code(*outcome));
            Some((info.number, desc, *duration))
        }
        TraceEvent::AttemptCanceled { info, duration } => {
            Some((info.number, format!("{} canceled", server_name(service, info.server)), *duration))
        }
        _ => None,
    };
    let mut value = format!("balancer;dur={}", millis(trace.duration()));
    for (number, desc, duration) in trace.steps().iter().filter_map(attempt).take(MAX_ATTEMPTS) {
        let is_plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || *c == ' ';
        let desc: String = desc.chars().filter(is_plain).collect();
        value += &format!(", attempt-{number};desc=\"{desc}\";dur={}", millis(duration));
    }
    value
}

fn document(trace: &Trace, count: usize, service: &Service, result: Result<ServerId, LocalReply>) -> String {
    let steps = trace.steps();
    // The end is of more interest than the middle.
    let omitted = steps.len() - count;
    let (first, last) = (count.div_ceil(2), count / 2);
    let shown = steps.iter().take(first).chain(steps.iter().skip(steps.len() - last));
    let object = Object::default().number("version", TRACE_VERSION).text("service", &service.name());
    let object = match result {
        Ok(server) => object.text("result", "served").text("server", server_name(service, server)),
        Err(reply) => {
            let status = u64::from(reply.status().as_u16());
            object.text("result", "local_reply").text("reply", reply.code()).number("status", status)
        }
    };
    let object = object.number("total_ms", millis(trace.duration()));
    let object = object.objects("steps", shown.map(|step| step_json(step, service)));
    object.number("omitted", omitted as u64 + u64::from(trace.omitted())).finish()
}

fn step_json(step: &TraceStep, service: &Service) -> Object {
    let object = |name: &str| Object::default().number("at_ms", millis(step.at)).text("step", name);
    let attempt = |name: &str, info: &AttemptInfo| {
        object(name).number("attempt", u64::from(info.number)).text("server", server_name(service, info.server))
    };
    match &step.event {
        TraceEvent::Selection(candidates) => {
            object("select").objects("servers", candidates.iter().map(|it| candidate_json(it, service)))
        }
        TraceEvent::AttemptStarted(info) => {
            let flags = [("hedge", info.hedge), ("trial", info.trial), ("last_resort", info.last_resort)];
            let set = flags.into_iter().filter(|(_, is_set)| *is_set);
            set.fold(attempt("attempt", info), |object, (name, _)| object.flag(name, true))
        }
        TraceEvent::AttemptFinished { info, outcome, ruling, detail, duration } => {
            let object = attempt("result", info).number("ms", millis(*duration));
            let object = object.text("outcome", Reason::from(*outcome).as_str());
            let object = match outcome {
                Outcome::Status(status) => object.number("status", u64::from(status.as_u16())),
                Outcome::Failed(_) => object,
            };
            let object = object.optional_text("detail", detail.as_deref().map(short));
            let object = object.text("delivery", ruling.delivery.as_str()).text("impact", ruling.impact.as_str());
            object.flag("retryable", ruling.retryable)
        }
        TraceEvent::AttemptCanceled { info, duration } => attempt("canceled", info).number("ms", millis(*duration)),
        TraceEvent::Waited { reason, duration } => {
            object("wait").number("ms", millis(*duration)).text("reason", reason.as_str())
        }
        TraceEvent::Stopped(reason) => {
            let kind = match reason {
                StopReason::Refused(_) => "refused",
                StopReason::NoServer(_) => "no_server",
                _ => "stop",
            };
            object(kind).text("reason", reason.as_str())
        }
        // Later versions of the core may have further steps.
        _ => object("other"),
    }
}

fn candidate_json(candidate: &Candidate, service: &Service) -> Object {
    let object = Object::default().text("server", server_name(service, candidate.server));
    let object = object.text("standing", candidate.standing.as_str());
    let object = match candidate.ejected_for {
        Some(rest) => object.number("ejected_for_ms", millis(rest)),
        None => object,
    };
    let object = object.text("health", candidate.health.as_str());
    match candidate.knowledge {
        Some((source, age)) => object.text("source", source.as_str()).number("age_ms", millis(age)),
        None => object,
    }
}

/// Returns `timeout`, or the status of a response.
fn outcome_code(outcome: Outcome) -> String {
    match outcome {
        Outcome::Status(status) => status.as_u16().to_string(),
        Outcome::Failed(failure) => Reason::from(failure).as_str().to_owned(),
    }
}

fn server_name(service: &Service, id: ServerId) -> &str {
    service.server(id).map(|server| server.name.as_str()).unwrap_or_default()
}

/// Returns the start of a message of the host.
fn short(text: &str) -> &str {
    text.char_indices().nth(200).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Escapes all characters of a JSON document that are not ASCII.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text += &format!("\\u{unit:04x}"));
        }
    }
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
