//! Settings without an effect.
//!
//! Disabled and draining servers count, because they are likely to return.

use tunnel_balancer_core::{Failback, Policy, ProbeKind, RetrySettings};

use super::Source;
use crate::diagnostic::Code;
use crate::duration::format_duration;
use crate::reader::Field;
use crate::report::Report;

pub(super) fn lint(source: &Source<'_, '_>) {
    weights(source);
    drains(source);
    one_server(source);
    plain_http(source);
    health_checks(source);
    let Some(retry) = source.field.get("retry") else { return };
    attempts(source, retry);
    second_attempts(source, retry);
    liveness_check(source, retry);
    hold(source, retry);
}

fn report(field: Field<'_>, message: impl Into<String>, hint: &str) {
    field.report(Report::new(Code::NoEffect, message).hint(hint));
}

fn weights(source: &Source<'_, '_>) {
    let Source { service, servers, .. } = source;
    if service.policy != Policy::Failover || servers.len() < 2 {
        return;
    }
    let weighted = servers.iter().find(|(server, _)| server.weight > 1);
    if let Some(weight) = weighted.and_then(|(_, item)| item.get("weight")) {
        let hint = "write `policy: round_robin` to share the traffic, or remove it";
        report(weight, "`weight` has no effect with the policy `failover`", hint);
    }
}

fn drains(source: &Source<'_, '_>) {
    if source.service.affinity.is_some() {
        return;
    }
    for (_, item) in source.servers.iter().filter(|(server, _)| server.enabled && server.drain) {
        if let Some(drain) = item.get("drain") {
            let hint =
                "write `enabled: false`, or set `affinity`: a draining server keeps the clients of an affinity cookie";
            report(drain, "`drain` disables the server, because the service has no `affinity`", hint);
        }
    }
}

/// Warns of settings of TLS for a server without it.
fn plain_http(source: &Source<'_, '_>) {
    for (server, item) in &source.servers {
        if let Some(tls) = item.get("tls").filter(|_| server.url.scheme() == "http") {
            report(tls, "`tls` has no effect with `http://`", "write `https://` in the URL, or remove it");
        }
    }
}

/// Warns of settings of requests in health checks without a request, and of content of responses
/// without any.
fn health_checks(source: &Source<'_, '_>) {
    let Source { service, servers, field } = source;
    let of_servers = service.all().iter().zip(servers).map(|(id, (_, item))| (service.health_check_of(id), *item));
    for (check, field) in [(service.health_check.as_ref(), *field)].into_iter().chain(of_servers) {
        let Some((check, map)) = check.zip(field.get("health_check")) else { continue };
        if check.kind == ProbeKind::Tcp {
            let names = ["method", "path", "host", "headers", "expect_status", "expect_header", "expect_body"];
            if let Some((name, at)) = names.into_iter().find_map(|name| Some((name, map.get(name)?))) {
                let message = format!("`{name}` has no effect with `type: tcp`, which sends no request");
                report(at, message, "remove it, or write `type: http`");
            }
        }
    }
}

/// Warns of settings of the selection among several servers, with a single one.
fn one_server(source: &Source<'_, '_>) {
    let Source { service, field, .. } = source;
    let hint = "add a server, or remove it";
    if source.servers.len() > 1 {
        return;
    }
    let settings = [
        ("policy", service.policy != Policy::Failover),
        ("failback", service.failback != Failback::Auto),
        ("slow_start", service.slow_start.is_some()),
    ];
    for (name, is_set) in settings {
        if let Some(at) = field.get(name).filter(|_| is_set) {
            let name = if name == "policy" { format!("policy: {}", service.policy.as_str()) } else { name.to_owned() };
            report(at, format!("`{name}` has no effect with a single server"), hint);
        }
    }
    let after = field.get("retry").and_then(|retry| retry.get("liveness_check_after"));
    if let Some(at) = after.filter(|_| service.retry.liveness_check_after.is_some()) {
        report(at, "`liveness_check_after` has no effect with a single server", hint);
    }
}

/// Warns of retries that cannot be made. A held request is sent to the same server again.
fn attempts(source: &Source<'_, '_>, retry: Field<'_>) {
    let settings = &source.service.retry;
    if settings.hold.is_some() {
        return;
    }
    let most = u32::try_from(source.servers.len()).unwrap_or(u32::MAX);
    let attempts = retry.get("attempts");
    if most == 1 {
        let of_retries =
            ["statuses", "non_idempotent", "budget", "max_buffered_body"].map(|name| (name, retry.get(name)));
        let first = [("attempts", attempts.filter(|_| settings.attempts > 1))].into_iter().chain(of_retries);
        if let Some((name, at)) = first.filter_map(|(name, at)| Some((name, at?))).next() {
            let hint =
                "add a server, or write `hold: 5s`: a request is not retried on the same server unless it is held";
            report(at, format!("`{name}` has no effect with a single server"), hint);
        }
    // The default is not reported.
    } else if let Some(at) = attempts.filter(|_| settings.attempts > most.max(RetrySettings::default().attempts)) {
        let message = format!("at most {most} attempts are made, not {}", settings.attempts);
        report(
            at,
            message,
            &format!("add servers, or set `attempts` to {most}: a request is sent to each server once"),
        );
    }
}

/// Warns of settings that need a second attempt on another server.
fn second_attempts(source: &Source<'_, '_>, retry: Field<'_>) {
    let settings = &source.service.retry;
    let (reason, hint) = if source.servers.len() == 1 {
        ("a single server", "add a server, or remove it")
    } else if settings.attempts == 1 && settings.hold.is_none() {
        ("`attempts: 1`", "set `attempts` to 2 or more, or remove it")
    } else {
        return;
    };
    let names = [("per_try_timeout", settings.per_try_timeout.is_some()), ("hedge", settings.hedge)];
    for (name, is_set) in names {
        if let Some(at) = retry.get(name).filter(|_| is_set) {
            report(at, format!("`{name}` has no effect with {reason}"), hint);
        }
    }
}

fn liveness_check(source: &Source<'_, '_>, retry: Field<'_>) {
    let settings = &source.service.retry;
    let Some(after) = settings.liveness_check_after else {
        if let Some(at) = retry.get("hedge").filter(|_| settings.hedge && source.servers.len() > 1) {
            let hint = "write `liveness_check_after: 3s`: without liveness checks no server is found to be stalled";
            report(at, "`hedge` has no effect with `liveness_check_after: false`", hint);
        }
        return;
    };
    let limit = settings.timeout;
    if let Some(at) = retry.get("liveness_check_after").filter(|_| after >= limit && source.servers.len() > 1) {
        let (after, limit) = (format_duration(after), format_duration(limit));
        let message =
            format!("no server is ejected after `liveness_check_after` ({after}): `timeout` ({limit}) ends before");
        report(at, message, &format!("set it to less than {limit}"));
    }
}

fn hold(source: &Source<'_, '_>, retry: Field<'_>) {
    let settings = &source.service.retry;
    let timeout = settings.timeout;
    let Some((at, hold)) = retry.get("hold").zip(settings.hold.filter(|hold| *hold > timeout)) else { return };
    let (hold, timeout) = (format_duration(hold), format_duration(timeout));
    let message = format!("`hold` ({hold}) is longer than `timeout` ({timeout}), which ends the request");
    report(at, message, &format!("set it to {timeout} or less, or `timeout` to {hold} or more"));
}
