//! The report: everything about all services, as JSON.
//!
//! The format is documented in `docs/status.md`. Its version changes if a field changes its meaning
//! or is removed. Fields that are unknown are absent.

use tunnel_balancer_core::{EjectionState, Health, Minute, ServerStatus, Timestamp};
use tunnel_balancer_state::HistoryFilter;
use tunnel_balancer_state::control::changes_json;
use tunnel_balancer_state::json::Object;

use crate::availability::{Day, Incident, Past, Present, Timeline};
use crate::observation::{Observation, ServiceObservation};
use crate::traffic::Traffic;

/// The version of the format.
pub(crate) const VERSION: u64 = 1;

/// The most entries of the history that are shown.
const MAX_ENTRIES: usize = 200;

/// Returns the report of all services.
pub(crate) fn all(seen: &Observation<'_>, control: bool) -> String {
    let services = seen.services.iter().map(|observed| service(observed, None));
    head(seen, control).objects("services", services).objects("overrides", overrides(seen)).finish()
}

/// Returns the report of one service with its details. `None` if there is no such service.
pub(crate) fn details(seen: &Observation<'_>, name: &str, control: bool) -> Option<String> {
    let observed = seen.services.iter().find(|it| it.service.name() == name)?;
    let timeline = Past::new(seen.history, seen.history_since).timeline(&present(observed, seen));
    let filter = HistoryFilter { service: Some(name.to_owned()), limit: Some(MAX_ENTRIES), ..HistoryFilter::default() };
    let entries = seen.history.into_iter().flat_map(|history| history.query(&filter)).map(Object::of);
    let detailed = service(observed, timeline.state_since(observed.state()))
        .json("minutes", &minutes(&observed.minutes))
        .objects("history", entries)
        .objects("days", days(&timeline))
        .objects("incidents", timeline.incidents().map(|it| incident(Object::default(), it)));
    let report = head(seen, control).objects("services", [detailed].into_iter());
    Some(report.objects("overrides", overrides(seen)).finish())
}

/// Returns what is known of the present of a service.
pub(crate) fn present<'o>(observed: &'o ServiceObservation<'_>, seen: &Observation<'_>) -> Present<'o> {
    let servers = observed.service.servers().iter().zip(&observed.status.servers);
    let enabled = servers.filter(|(server, _)| server.enabled);
    let since = observed.status.since.map_or(seen.balancer.started, Timestamp::as_millis);
    Present {
        service: observed.service.name(),
        servers: enabled.map(|(server, status)| (server.name.as_str(), is_available(status))).collect(),
        maintenance_since: observed.service.maintenance.then_some(since),
        started: seen.balancer.started,
        now: seen.now,
    }
}

/// Returns the uptime of the days.
pub(crate) fn days(timeline: &Timeline) -> impl Iterator<Item = Object> {
    timeline.days().map(|day| {
        let json = Object::default().number("start", day.start);
        match day.up {
            Some(up) => json.json("up", &format!("{}.{:05}", up / Day::ALL_DAY, up % Day::ALL_DAY)),
            None => json,
        }
    })
}

/// Adds an incident to an object.
pub(crate) fn incident(json: Object, incident: Incident) -> Object {
    let json = json.text("kind", incident.state.as_str()).number("from", incident.from);
    json.optional_number("until", incident.until)
}

fn head(seen: &Observation<'_>, control: bool) -> Object {
    let balancer = Object::default()
        .text("host", seen.balancer.host.as_str())
        .text("version", seen.balancer.version)
        .number("started", seen.balancer.started)
        .flag("config_rejected", seen.balancer.config_rejected);
    let sharing = Object::default()
        .text("mode", seen.sharing.mode)
        .optional_number("age_ms", seen.sharing.age_ms)
        .optional_text("error", seen.sharing.error.as_deref());
    Object::default()
        .number("version", VERSION)
        .text("kind", "full")
        .number("now", seen.now)
        .object("balancer", balancer)
        .object("sharing", sharing)
        .text("counts_of", seen.balancer.host.counts_of())
        .optional_number("history_since", seen.history_since)
        .flag("control", control)
}

fn overrides(seen: &Observation<'_>) -> impl Iterator<Item = Object> {
    let services: Vec<_> = seen.services.iter().map(|it| it.service).collect();
    changes_json(seen.overrides, &services, seen.now).into_iter()
}

/// Returns a service. `since` is when its state began, if this process does not know.
fn service(observed: &ServiceObservation<'_>, since: Option<u64>) -> Object {
    let ServiceObservation { service, status, .. } = observed;
    let traffic = Traffic::of(observed);
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    let serving: Vec<&str> =
        names.iter().enumerate().filter(|(index, _)| traffic.is_serving(*index)).map(|(_, name)| *name).collect();
    let requests = Object::default()
        .number("total", status.requests.total)
        .number("failed", status.requests.failed)
        .number("canceled", status.requests.canceled)
        .number("retries", status.requests.retries)
        .number("hedges", status.requests.hedges)
        .number("held", status.requests.held)
        .number("in_flight", u64::from(status.in_flight));
    let servers = (0..names.len()).filter_map(|index| server(observed, index, &traffic));
    Object::default()
        .text("service", &service.name())
        .text("title", &service.title)
        .text("state", status.state.as_str())
        .optional_number("since", status.since.map(Timestamp::as_millis).or(since))
        .text("policy", service.policy.as_str())
        .flag("maintenance", service.maintenance)
        .nullable_text("forced", service.forced.and_then(|id| service.server(id)).map(|server| server.name.as_str()))
        .list("serving", &serving)
        .text("serving_reason", traffic.reason())
        .object("requests", requests)
        .objects("servers", servers)
}

fn server(observed: &ServiceObservation<'_>, index: usize, traffic: &Traffic<'_>) -> Option<Object> {
    let (server, status) = observed.service.servers().get(index).zip(observed.status.servers.get(index))?;
    let (counters, cause) = (&status.counters, status.cause());
    let json = Object::default()
        .text("server", &server.name)
        .text("state", status.state())
        .optional_number("since", status.since.map(Timestamp::as_millis))
        .optional_text("reason", cause.map(|cause| cause.reason.as_str()))
        .optional_text("detail", cause.map(|cause| cause.detail.as_str()))
        .flag("serving", traffic.is_serving(index))
        .optional_text("skipped", traffic.skipped(index))
        .flag("enabled", server.enabled)
        .flag("drain", server.drain)
        .number("weight", u64::from(server.weight))
        .flag("backup", server.backup)
        .optional_number("ejected_until", ejected_until(status));
    let json = match probe(status) {
        Some(probe) => json.object("probe", probe),
        None => json,
    };
    let json = json
        .number("in_flight", u64::from(status.in_flight))
        .number("attempts", counters.attempts)
        .number("failed_attempts", counters.failed_attempts)
        .number("canceled_attempts", counters.canceled_attempts)
        .number("hedges", counters.hedges)
        .number("aborted_responses", counters.aborted_responses)
        .number("probes", counters.probes)
        .number("failed_probes", counters.failed_probes)
        .number("ejections", counters.ejections)
        .number("stalls", counters.stalls);
    Some(match status.percentiles {
        Some(recent) => {
            let latency = Object::default().number("p50", millis(recent.p50)).number("p99", millis(recent.p99));
            json.object("latency_ms", latency)
        }
        None => json,
    })
}

fn probe(status: &ServerStatus) -> Option<Object> {
    let next = status.next_probe.map(Timestamp::as_millis);
    let Some(last) = &status.last_probe else {
        return next.map(|next| Object::default().number("next_at", next));
    };
    let json = Object::default()
        .number("at", last.at.as_millis())
        .flag("passed", last.passed)
        .optional_text("detail", last.detail.as_deref())
        .optional_number("duration_ms", last.duration.map(millis));
    Some(json.optional_number("next_at", next))
}

fn ejected_until(status: &ServerStatus) -> Option<u64> {
    match status.ejection {
        EjectionState::Ejected(until) => Some(until.as_millis()),
        _ => None,
    }
}

/// Returns whether a server is neither unhealthy nor ejected, as the history has it.
fn is_available(status: &ServerStatus) -> bool {
    status.health != Health::Unhealthy && status.ejection == EjectionState::Active
}

/// Returns the minutes of a service as a list of `[start, attempts, failed, mean_ms]`.
fn minutes(servers: &[Vec<Minute>]) -> String {
    let mut all: Vec<Minute> = Vec::new();
    // A sort would make the Worker larger.
    for minute in servers.iter().flatten() {
        all.insert(all.partition_point(|other| other.start <= minute.start), *minute);
    }
    let of_service = all.chunk_by(|a, b| a.start == b.start).map(|minute| {
        let (mut start, mut attempts, mut failed) = (0, 0u64, 0u64);
        let (mut sum, mut responses) = (0u64, 0u64);
        for one in minute {
            start = one.start.as_millis();
            attempts += u64::from(one.attempts);
            failed += u64::from(one.failed);
            if let Some(mean) = one.mean_latency {
                let succeeded = u64::from(one.attempts.saturating_sub(one.failed).max(1));
                (sum, responses) = (sum + millis(mean) * succeeded, responses + succeeded);
            }
        }
        let mean = sum.checked_div(responses).map_or_else(|| "null".to_owned(), |mean| mean.to_string());
        format!("[{start},{attempts},{failed},{mean}]")
    });
    format!("[{}]", of_service.collect::<Vec<_>>().join(","))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
