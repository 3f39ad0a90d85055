//! Protocols that need more than HTTP requests which every host transfers: gRPC and CalDAV. A
//! service is recognized by its names.

use tunnel_balancer_core::{HealthCheck, ProbeKind};

use super::Source;
use crate::diagnostic::Code;
use crate::platform::Platform;
use crate::reader::Field;
use crate::report::Report;

pub(super) fn lint(source: &Source<'_, '_>) {
    let Source { service, servers, field } = source;
    let checks = service.all().iter().zip(servers).filter_map(|(id, (_, item))| {
        let at = health_check(*item).or_else(|| health_check(*field));
        Some((service.health_check_of(id)?, at.unwrap_or(*field)))
    });
    let checks: Vec<(&HealthCheck, Field<'_>)> = checks.collect();
    if let Some((_, at)) = checks.iter().find(|(check, _)| sends(check) && check.path.starts_with("/grpc.")) {
        let message = "no gRPC health check can be called: probes are requests without a body";
        report(*at, message, "write `health_check: tcp` (for `serve`), or `health_check: false`");
    }
    if has_label(&service.host, &["grpc"])
        && let Some((_, item)) = servers.iter().find(|(server, _)| server.url.scheme() == "http")
    {
        let message = "gRPC needs HTTP/2, which servers get over TLS only";
        report(item.get("url").unwrap_or(*item), message, "write `https://`: `h2c` is not supported");
    }
    let is_calendar = has_label(&service.host, &["caldav", "carddav"])
        || has_part(&service.path, &["caldav", "carddav"])
        || checks.iter().any(|(check, _)| sends(check) && has_part(&check.path, &["caldav", "carddav"]));
    if is_calendar && field.may_run_on(Platform::Worker) {
        let message = "the Worker does not get requests with the method `MKCALENDAR`: Cloudflare responds with 501";
        let hint = "create calendars with a client that uses `MKCOL`, or in the application; `serve` passes it on";
        report(*field, message, hint);
    }
}

/// Returns the path of the health check of a service or server, or the whole health check.
fn health_check(map: Field<'_>) -> Option<Field<'_>> {
    let check = map.get("health_check")?;
    Some(check.get("path").unwrap_or(check))
}

fn report(field: Field<'_>, message: &str, hint: &str) {
    field.report(Report::new(Code::Protocol, message).hint(hint));
}

fn sends(check: &HealthCheck) -> bool {
    check.kind == ProbeKind::Http
}

/// Returns whether the first label of a host is one of these.
fn has_label(host: &str, labels: &[&str]) -> bool {
    labels.contains(&host.split(['.', ':']).next().unwrap_or_default())
}

/// Returns whether a path has one of these parts.
fn has_part(path: &str, parts: &[&str]) -> bool {
    path.split(['/', '?']).any(|part| parts.contains(&part))
}
