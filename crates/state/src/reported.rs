//! Transitions that other processes observed and report.
//!
//! A report has facts and no events, so transitions are found by comparison of the pools before and
//! after its merge. If several processes report the same outage, only the first report changes
//! something.

use tunnel_balancer_core::{
    Cause, EjectionState, Health, LogEvent, Pool, PoolState, ServerStatus, Services, Timestamp,
};

use crate::{HistoryEntry, SharedState};

/// Merges a report into these pools. Returns the transitions that it caused.
pub(crate) fn merge(report: &SharedState, services: &Services, now: Timestamp) -> Vec<HistoryEntry> {
    let status = |pool: &Pool| pool.update(|state| state.status(now).servers);
    let before: Vec<Vec<ServerStatus>> = services.pools().map(|pool| status(pool)).collect();
    report.merge_into(services, PoolState::MAX_FACT_AGE, now);
    let mut entries = Vec::new();
    for (pool, before) in services.pools().zip(before) {
        let service = pool.service().name();
        let Some(facts) = report.services.get(&service) else { continue };
        for (before, after) in before.iter().zip(status(pool)) {
            let Some(fact) = facts.servers.iter().find(|fact| fact.server == after.name) else { continue };
            let entry = |event: LogEvent, at: u64, detail: Option<&str>| HistoryEntry {
                at,
                event: event.as_str().to_owned(),
                service: service.clone(),
                server: Some(after.name.clone()),
                reason: None,
                detail: detail.map(str::to_owned),
                until: None,
                comment: None,
                origin: Some(fact.reporter.clone()),
            };
            entries.extend(health_event(before, &after).map(|event| entry(event, fact.probed_at, None)));
            entries.extend(ejection_event(before, &after).map(|event| {
                let cause = (event == LogEvent::ServerEjected).then(|| describe(fact.cause));
                entry(event, fact.state_changed_at, cause)
            }));
        }
    }
    entries
}

fn health_event(before: &ServerStatus, after: &ServerStatus) -> Option<LogEvent> {
    match (before.health, after.health) {
        (Health::Unhealthy, Health::Unhealthy) => None,
        (_, Health::Unhealthy) => Some(LogEvent::ServerUnhealthy),
        (Health::Unhealthy, Health::Healthy) => Some(LogEvent::ServerHealthy),
        _ => None,
    }
}

fn ejection_event(before: &ServerStatus, after: &ServerStatus) -> Option<LogEvent> {
    match (before.ejection, after.ejection) {
        (EjectionState::Active | EjectionState::Probation, EjectionState::Ejected(_)) => Some(LogEvent::ServerEjected),
        (EjectionState::Ejected(_) | EjectionState::Probation, EjectionState::Active) => Some(LogEvent::ServerRestored),
        _ => None,
    }
}

/// Returns the reason for people.
const fn describe(cause: Cause) -> &'static str {
    match cause {
        Cause::Hung | Cause::ApplicationHung => "no response",
        Cause::RetryAfter => "the server requested a pause",
        _ => "failed requests",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tunnel_balancer_core::{Server, Service};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn services() -> Services {
        let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
        Services::new([Service::new("app.test", servers.to_vec()).unwrap()], 1)
    }

    fn report(reporter: &str, facts: serde_json::Value) -> SharedState {
        let mut server = facts;
        server["server"] = "a".into();
        server["reporter"] = reporter.into();
        let facts = serde_json::json!({ "version": 1, "servers": [server] });
        serde_json::from_value(serde_json::json!({ "services": { "app.test": facts } })).unwrap()
    }

    fn ejection(reporter: &str, since: Timestamp, until: Option<Timestamp>) -> SharedState {
        let until = until.map(Timestamp::as_millis);
        report(reporter, serde_json::json!({ "state_changed_at": since.as_millis(), "ejected_until": until }))
    }

    fn seconds(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    /// Returns the event, the second and the reporter of each entry.
    fn summary(entries: &[HistoryEntry]) -> Vec<(&str, u64, &str)> {
        let second = |at: u64| (at - NOW.as_millis()) / 1000;
        entries.iter().map(|it| (it.event.as_str(), second(it.at), it.origin.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn an_ejection_that_several_isolates_report_is_one_entry() {
        let services = services();
        let first = merge(&ejection("x", NOW, Some(seconds(10))), &services, seconds(1));
        assert_eq!(summary(&first), [("server_ejected", 0, "x")]);
        let HistoryEntry { service, server, detail, .. } = &first[0];
        let names = (service.as_str(), server.as_deref(), detail.as_deref());
        assert_eq!(names, ("app.test", Some("a"), Some("failed requests")));
        for (reporter, at) in [("x", NOW), ("y", seconds(1))] {
            let again = merge(&ejection(reporter, at, Some(seconds(11))), &services, seconds(2));
            assert_eq!(again, [], "{reporter}");
        }
        let repeated = merge(&ejection("y", seconds(20), Some(seconds(40))), &services, seconds(21));
        assert_eq!(summary(&repeated), [("server_ejected", 20, "y")], "after its probation");
        let ended = |reporter| merge(&ejection(reporter, seconds(50), None), &services, seconds(50));
        assert_eq!(summary(&ended("x")), [("server_restored", 50, "x")]);
        assert_eq!(ended("y"), []);
    }

    #[test]
    fn health_that_another_machine_observes_is_recorded() {
        let services = services();
        let merged = |health: &str, second| {
            let facts = serde_json::json!({ "probed_at": seconds(second).as_millis(), "health": health });
            merge(&report("home", facts), &services, seconds(second))
        };
        assert_eq!(merged("healthy", 1), [], "the first result is no change");
        assert_eq!(summary(&merged("unhealthy", 2)), [("server_unhealthy", 2, "home")]);
        assert_eq!(merged("unhealthy", 3), []);
        assert_eq!(summary(&merged("healthy", 4)), [("server_healthy", 4, "home")]);
    }

    #[test]
    fn an_ignored_report_is_no_transition() {
        let services = services();
        let old = ejection("x", NOW, Some(seconds(3_600)));
        assert_eq!(merge(&old, &services, seconds(301)), [], "facts of more than five minutes");
    }
}
