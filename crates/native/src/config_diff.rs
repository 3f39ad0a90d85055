//! The difference between two configurations, for the log.

use std::collections::BTreeMap;

use tunnel_balancer_config::{Change, ServiceDiff, diff_services};
use tunnel_balancer_core::{LogEntry, LogEvent, LogLevel, Server, ServerId, Service, Services};

/// Returns the added, removed and changed services and servers in one line, and whether the targets
/// of notifications changed.
pub(crate) fn describe(old: &Services, new: &Services, targets_changed: bool) -> String {
    let diffs = diff_services(old.pools().map(|pool| pool.service()), new.pools().map(|pool| pool.service()));
    let of = |change: Change| diffs.iter().filter(move |diff| diff.change == change);
    let mut changes: Vec<String> = Vec::new();
    for change in [Change::Added, Change::Removed] {
        changes.extend(of(change).map(|diff| format!("{} {}", change.as_str(), diff.service)));
    }
    changes.extend(of(Change::Changed).map(|diff| format!("changed {} ({})", diff.service, service_changes(diff))));
    changes.extend(targets_changed.then(|| "changed notifications".to_owned()));
    if changes.is_empty() { "no change".to_owned() } else { changes.join("; ") }
}

/// Returns the entries of servers whose state a reload has ended.
pub(crate) fn ended_states<'a>(old: &'a Services, new: &Services) -> Vec<LogEntry<'a>> {
    let new = by_name(new);
    let mut entries = Vec::new();
    for service in old.pools().map(|pool| pool.service()) {
        let changed = new.get(&service.name()).copied();
        for (id, server) in servers(service).filter(|(_, server)| server.enabled) {
            let same = |other: &Server| other.enabled && other.name == server.name && other.url == server.url;
            let kept = changed.and_then(|new| Some((new, servers(new).find(|(_, other)| same(other))?.0)));
            let is_checked = |(service, id): (&Service, ServerId)| service.health_check_of(id).is_some();
            let event = match kept {
                None => LogEvent::ServerRemoved,
                Some(kept) if is_checked((service, id)) && !is_checked(kept) => LogEvent::ServerUnchecked,
                Some(_) => continue,
            };
            entries.push(LogEntry {
                service: Some(service.name()),
                server: Some(&server.name),
                ..LogEntry::new(LogLevel::Info, event)
            });
        }
    }
    entries
}

fn servers(service: &Service) -> impl Iterator<Item = (ServerId, &Server)> {
    service.servers().iter().enumerate().filter_map(|(index, server)| Some((ServerId::new(index)?, server)))
}

fn by_name(services: &Services) -> BTreeMap<String, &Service> {
    services.pools().map(|pool| (pool.service().name(), pool.service())).collect()
}

fn service_changes(diff: &ServiceDiff) -> String {
    let servers = diff.servers.iter().filter(|server| server.change != Change::Unchanged);
    let mut changes: Vec<String> =
        servers.map(|server| format!("{} {}", server.change.as_str(), server.server)).collect();
    changes.extend(diff.order.is_some().then(|| "order of servers".to_owned()));
    changes.extend(diff.settings.iter().map(|setting| setting.key.clone()));
    changes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(yaml: &str) -> Services {
        Services::new(tunnel_balancer_config::parse(yaml).unwrap().services, 1)
    }

    #[test]
    fn services_and_servers_are_compared_by_name() {
        let old = services("services: { a.test: [x.example, y.example], b.test: [x.example], c.test: [x.example] }");
        let new = services(
            "services:\n  a.test: [x.example, { url: z.example, name: z }]\n  \
             c.test: { servers: [x.example], policy: random }\n  d.test: [x.example]\n",
        );
        assert_eq!(
            describe(&old, &new, false),
            "added d.test; removed b.test; changed a.test (added z, removed y); changed c.test (policy)"
        );
        assert_eq!(describe(&old, &old, false), "no change");
        assert_eq!(describe(&old, &old, true), "changed notifications");
    }

    #[test]
    fn the_states_of_removed_and_unchecked_servers_end() {
        let old = services(
            "services: { a.test: [x.example, y.example, z.example, { url: v.example, name: v }], b.test: [x.example] }",
        );
        let new = services(
            "services: { a.test: [x.example, { url: y.example, health_check: false }, \
             { url: z.example, enabled: false }, { url: w.example, name: v }] }",
        );
        let ended: Vec<String> = ended_states(&old, &new)
            .iter()
            .map(|it| format!("{} {} {}", it.event.as_str(), it.service.as_deref().unwrap(), it.server.unwrap()))
            .collect();
        assert_eq!(
            ended,
            [
                "server_unchecked a.test y",
                "server_removed a.test z",
                "server_removed a.test v",
                "server_removed b.test x"
            ]
        );
        assert_eq!(ended_states(&old, &old), []);
    }
}
