//! The difference between two configurations, for the log.

use std::collections::BTreeMap;

use tunnel_balancer_core::{Service, Services};

/// Returns the added, removed and changed services and servers in one line.
pub(crate) fn describe(old: &Services, new: &Services) -> String {
    let (old, new) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    changes.extend(new.keys().filter(|name| !old.contains_key(*name)).map(|name| format!("added {name}")));
    changes.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("removed {name}")));
    for (name, service) in &new {
        if let Some(changed) = old.get(name).and_then(|old| service_changes(old, service)) {
            changes.push(format!("changed {name} ({changed})"));
        }
    }
    if changes.is_empty() { "no change".to_owned() } else { changes.join("; ") }
}

fn by_name(services: &Services) -> BTreeMap<String, &Service> {
    services.pools().map(|pool| (pool.service().name(), pool.service())).collect()
}

fn service_changes(old: &Service, new: &Service) -> Option<String> {
    if old == new {
        return None;
    }
    let has = |service: &Service, name: &str| service.servers().iter().any(|server| server.name == name);
    let mut changes = Vec::new();
    for server in new.servers() {
        match old.servers().iter().find(|other| other.name == server.name) {
            None => changes.push(format!("added {}", server.name)),
            Some(other) if other != server => changes.push(format!("changed {}", server.name)),
            Some(_) => {}
        }
    }
    let removed = old.servers().iter().filter(|server| !has(new, &server.name));
    changes.extend(removed.map(|server| format!("removed {}", server.name)));
    if changes.is_empty() {
        changes.push("settings".to_owned());
    }
    Some(changes.join(", "))
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
            describe(&old, &new),
            "added d.test; removed b.test; changed a.test (added z, removed y); changed c.test (settings)"
        );
        assert_eq!(describe(&old, &old), "no change");
    }
}
