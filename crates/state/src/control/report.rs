//! What the control API returns: services, servers and changes in force.

use tunnel_balancer_core::{ServerStatus, Service};

use super::Control;
use super::change::Override;
use super::overrides::Overrides;
use crate::json::Object;

/// A service of the configuration, and the state of its servers.
#[derive(Clone, Debug)]
pub struct ListedService<'a> {
    /// The service as the configuration has it, without overrides.
    pub service: &'a Service,
    /// The state of its servers, from
    /// [`PoolStatus::servers`](tunnel_balancer_core::PoolStatus::servers). Empty if it is unknown.
    pub status: Vec<ServerStatus>,
}

/// Returns the state of all services, and the changes in force.
pub(super) fn status_json(control: &Control, services: &[ListedService<'_>], now: u64) -> Object {
    let overrides = &control.overrides;
    let listed = services.iter().map(|it| service_json(&overrides.apply(it.service, now), &it.status));
    let services: Vec<&Service> = services.iter().map(|listed| listed.service).collect();
    let changes = changes_json(overrides, &services, now).into_iter();
    Object::default().number("now", now).objects("services", listed).objects("overrides", changes)
}

/// Returns the changes in force. A change of something that is not among the services has no
/// effect.
pub fn changes_json(overrides: &Overrides, services: &[&Service], now: u64) -> Vec<Object> {
    let is_known = |it: &Override| {
        services.iter().any(|service| {
            let has = |name: &String| service.servers().iter().any(|server| server.name == *name);
            it.service == service.name() && it.server.as_ref().is_none_or(has)
        })
    };
    let changes = overrides.in_force(now).map(|it| {
        let change = change_json(it, now);
        // The configuration no longer has what it changes.
        if is_known(it) { change } else { change.flag("has_effect", false) }
    });
    changes.collect()
}

/// Returns a change with the rest of its time.
pub(super) fn change_json(change: &Override, now: u64) -> Object {
    let json = Object::of(change);
    match change.until {
        Some(until) => json.number("remaining_ms", until.saturating_sub(now)),
        None => json,
    }
}

fn service_json(service: &Service, status: &[ServerStatus]) -> Object {
    let forced = service.forced.and_then(|id| service.server(id)).map(|server| server.name.as_str());
    let servers = service.servers().iter().map(|server| {
        let json = Object::default()
            .text("server", &server.name)
            .flag("enabled", server.enabled)
            .flag("drain", server.drain)
            .number("weight", u64::from(server.weight))
            .flag("backup", server.backup);
        match status.iter().find(|status| status.name == server.name) {
            Some(status) => json.text("state", status.state()).number("in_flight", u64::from(status.in_flight)),
            None => json,
        }
    });
    Object::default()
        .text("service", &service.name())
        .flag("maintenance", service.maintenance)
        .nullable_text("forced", forced)
        .objects("servers", servers)
}
