//! The assumed state of servers: `--down` and `--state`.

use std::path::Path;

use tunnel_balancer_config::parse_server_states;
use tunnel_balancer_config::scenario::ServerState;
use tunnel_balancer_core::{Health, Pool, ServerSnapshot, Service, Snapshot};

use super::NOW;
use crate::{input, output};

/// Applies the states of a file and those of the servers that are down to a pool.
pub(super) fn apply(pool: &Pool, file: Option<&Path>, down: &[String]) -> Result<(), String> {
    let service = pool.service();
    let mut snapshot = Snapshot::default();
    if let Some(path) = file {
        let yaml = input::yaml(path)?;
        let states = parse_server_states(&yaml, service);
        let states = states.map_err(|errors| output::rendered(&errors, &input::name(path), &yaml))?;
        snapshot.servers.extend(states.iter().map(entry));
    }
    for name in down {
        snapshot.servers.push(down_entry(name, service)?);
    }
    pool.update(|state| state.merge(&snapshot, NOW));
    Ok(())
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
