//! The assumed state of servers: `--down` and `--state`.

use std::path::Path;

use serde_json::Value;
use tunnel_balancer_config::parse_server_states;
use tunnel_balancer_config::scenario::ServerState;
use tunnel_balancer_core::{Health, Pool, ServerSnapshot, Service, Snapshot};

use super::NOW;
use crate::table::list;
use crate::{input, output};

/// Applies the states of a file and those of the servers that are down to a pool.
pub(super) fn apply(pool: &Pool, file: Option<&Path>, down: &[String]) -> Result<(), String> {
    let service = pool.service();
    let mut snapshot = Snapshot::default();
    if let Some(path) = file {
        let yaml = input::yaml(path)?;
        if let Some(report) = report(&yaml) {
            snapshot.servers = reported(&report, service)?;
        } else {
            let states = parse_server_states(&yaml, service);
            let states = states.map_err(|errors| output::rendered(&errors, &input::name(path), &yaml))?;
            snapshot.servers.extend(states.iter().map(entry));
        }
    }
    for name in down {
        snapshot.servers.push(down_entry(name, service)?);
    }
    pool.update(|state| state.merge(&snapshot, NOW));
    Ok(())
}

/// Returns a report of a running balancer, as `tunnel-balancer status --json` prints it.
fn report(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|json: &Value| json["kind"] == "full" && json["services"].is_array())
}

/// Returns the state of the servers of a service in a report.
fn reported(report: &Value, service: &Service) -> Result<Vec<ServerSnapshot>, String> {
    let name = service.name();
    let services = list(report, "services");
    let Some(found) = services.iter().find(|it| it["service"] == *name) else {
        return Err(format!("error: the state has no service `{name}`"));
    };
    let now = report["now"].as_u64().unwrap_or_default();
    let servers = list(found, "servers").iter().map(|server| reported_server(server, now));
    Ok(servers.collect())
}

fn reported_server(server: &Value, reported_at: u64) -> ServerSnapshot {
    let (now, state) = (NOW.as_millis(), server["state"].as_str().unwrap_or_default());
    let mut entry = ServerSnapshot::default();
    entry.server = server["server"].as_str().unwrap_or_default().to_owned();
    (entry.health, entry.probed_at) = match (state, server["probe"]["passed"].as_bool()) {
        ("unhealthy", _) | ("ejected" | "probation", Some(false)) => (Health::Unhealthy, now),
        (_, None) => (Health::Unknown, 0),
        _ => (Health::Healthy, now),
    };
    if let "ejected" | "probation" = state {
        let left = server["ejected_until"].as_u64().map_or(0, |until| until.saturating_sub(reported_at));
        (entry.state_changed_at, entry.ejected_until, entry.ejection_count) = (now, Some(now.saturating_add(left)), 1);
    }
    if state == "awaiting_failback" {
        (entry.failback_changed_at, entry.awaiting_failback) = (now, true);
    }
    entry
}

fn entry(state: &ServerState) -> ServerSnapshot {
    let now = NOW.as_millis();
    let mut entry = ServerSnapshot::default();
    entry.server = state.name.clone();
    entry.health = state.health;
    entry.probed_at = if state.health == Health::Unknown { 0 } else { now };
    if let Some(ejected_for) = state.ejected_for {
        entry.state_changed_at = now;
        entry.ejected_until = Some(now + u64::try_from(ejected_for.as_millis()).unwrap_or(u64::MAX));
        entry.ejection_count = 1;
    }
    if state.awaiting_failback {
        entry.failback_changed_at = now;
        entry.awaiting_failback = true;
    }
    entry
}

/// Returns the entry of a server that is unhealthy and ejected for the first time.
fn down_entry(name: &str, service: &Service) -> Result<ServerSnapshot, String> {
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    if !names.contains(&name) {
        let (service, names) = (service.name(), names.join(", "));
        return Err(format!("error: unknown server `{name}` of {service}\n  hint: expected one of {names}"));
    }
    let now = NOW.as_millis();
    let mut entry = ServerSnapshot::default();
    entry.server = name.to_owned();
    entry.health = Health::Unhealthy;
    entry.probed_at = now;
    entry.state_changed_at = now;
    entry.ejected_until = Some((NOW + service.ejection.base_time).as_millis());
    entry.ejection_count = 1;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tunnel_balancer_core::{EjectionState, Server};

    use super::*;

    #[test]
    fn a_report_of_a_balancer_is_applied() {
        let servers = ["a", "b", "c", "d"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
        let service = Service::new("app.test", servers.to_vec()).unwrap();
        let servers = json!([
            { "server": "a", "state": "unhealthy", "probe": { "passed": false } },
            { "server": "b", "state": "ejected", "ejected_until": 1_007_000, "probe": { "passed": true } },
            { "server": "c", "state": "probation" },
            { "server": "d", "state": "healthy", "probe": { "passed": true } },
        ]);
        let json =
            json!({ "kind": "full", "now": 1_000_000, "services": [{ "service": "app.test", "servers": servers }] });
        let report = report(&json.to_string()).unwrap();
        let pool = Pool::new(service.clone(), 1);
        let mut snapshot = Snapshot::default();
        snapshot.servers = reported(&report, &service).unwrap();
        pool.update(|state| state.merge(&snapshot, NOW));
        let found = pool.update(|state| state.status(NOW)).servers;
        let found: Vec<_> = found.iter().map(|server| (server.state(), server.health)).collect();
        let expected = [
            ("unhealthy", Health::Unhealthy),
            ("ejected", Health::Healthy),
            ("probation", Health::Unknown),
            ("healthy", Health::Healthy),
        ];
        assert_eq!(found, expected);
        let ejection = pool.update(|state| state.status(NOW).servers[1].ejection);
        assert_eq!(ejection, EjectionState::Ejected(NOW + std::time::Duration::from_secs(7)));
        let other = Service::new("other.test", service.servers().to_vec()).unwrap();
        assert!(reported(&report, &other).unwrap_err().contains("no service `other.test`"));
        let late = json!({ "server": "a", "state": "ejected", "ejected_until": u64::MAX });
        assert_eq!(reported_server(&late, 0).ejected_until, Some(u64::MAX));
    }
}
