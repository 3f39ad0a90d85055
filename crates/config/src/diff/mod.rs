//! The difference between two configurations.
//!
//! Services and servers are compared by name, and the rest by the values that are in effect. So
//! `defaults`, short forms and the order of services make no difference.

mod effective;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tunnel_balancer_core::{Server, Service};

use crate::Config;
use effective::{EffectiveSetting, file_settings, server_settings, service_settings};

/// The difference between two configurations. It contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigDiff {
    /// The changed settings that are no settings of services.
    pub settings: Vec<SettingChange>,
    /// All services: those of the new configuration in its order, and then the removed ones.
    pub services: Vec<ServiceDiff>,
    /// The names of the secrets that only the new configuration refers to.
    pub secrets_added: Vec<String>,
    /// The names of the secrets that only the old configuration refers to.
    pub secrets_removed: Vec<String>,
}

/// The difference between two versions of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceDiff {
    /// Host and path.
    pub service: String,
    /// Whether it is in both configurations.
    pub change: Change,
    /// The changed settings of a service that is in both, or the settings of an added one that are
    /// no defaults.
    pub settings: Vec<SettingChange>,
    /// All servers: those of the new version in its order, and then the removed ones.
    pub servers: Vec<ServerDiff>,
    /// The names of the servers before and after, if servers of both versions changed places.
    pub order: Option<(Vec<String>, Vec<String>)>,
}

/// The difference between two versions of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerDiff {
    /// The name.
    pub server: String,
    /// Whether it is in both versions of the service.
    pub change: Change,
    /// The changed settings of a server that is in both, or the address of an added one and the
    /// settings that are no defaults.
    pub settings: Vec<SettingChange>,
}

/// Whether a service or a server is in both configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only in the new one.
    Added,
    /// Only in the old one.
    Removed,
    /// In both, with a difference.
    Changed,
    /// In both, without a difference.
    Unchanged,
}

/// A setting whose value changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingChange {
    /// The key, with those of the maps that contain it: `retry.attempts`.
    pub key: String,
    /// The old value as YAML, with secrets redacted. `None`: it was not set.
    pub old: Option<String>,
    /// The new value. It may look like the old one, if the difference is redacted.
    pub new: Option<String>,
}

impl ConfigDiff {
    /// Compares two configurations that were checked without their secrets ([`parse`]).
    ///
    /// [`parse`]: crate::parse
    ///
    /// ```
    /// use tunnel_balancer_config::{ConfigDiff, parse};
    ///
    /// let old = parse("services: { app.example.com: [a.example.net, b.example.net] }")?;
    /// let new = parse("services: { app.example.com: { servers: [a.example.net], policy: random } }")?;
    /// let diff = ConfigDiff::of(&old, &new);
    /// assert_eq!(diff.services[0].settings[0].key, "policy");
    /// assert_eq!(diff.services[0].servers[1].server, "b");
    /// assert!(ConfigDiff::of(&new, &new).is_empty());
    /// # Ok::<(), tunnel_balancer_config::Errors>(())
    /// ```
    pub fn of(old: &Config, new: &Config) -> Self {
        let only = |names: &[String], others: &[String]| {
            names.iter().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>()
        };
        Self {
            settings: changes(&file_settings(old), &file_settings(new)),
            services: diff_services(&old.services, &new.services),
            secrets_added: only(&new.secrets, &old.secrets),
            secrets_removed: only(&old.secrets, &new.secrets),
        }
    }

    /// Returns whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
            && self.services.iter().all(|service| service.change == Change::Unchanged)
            && self.secrets_added.is_empty()
            && self.secrets_removed.is_empty()
    }
}

impl Change {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Compares services: those of `new` in their order, and then the removed ones.
pub fn diff_services<'a>(
    old: impl IntoIterator<Item = &'a Service>,
    new: impl IntoIterator<Item = &'a Service>,
) -> Vec<ServiceDiff> {
    let by_name = |services: Vec<&'a Service>| -> Vec<(String, &'a Service)> {
        services.into_iter().map(|service| (service.name(), service)).collect()
    };
    let (old, new) = (by_name(old.into_iter().collect()), by_name(new.into_iter().collect()));
    let known: BTreeMap<&str, &Service> = old.iter().map(|(name, service)| (name.as_str(), *service)).collect();
    let mut diffs: Vec<ServiceDiff> = new
        .iter()
        .map(|(name, service)| match known.get(name.as_str()) {
            Some(old) => diff_service(old, service),
            None => added_service(service),
        })
        .collect();
    let remaining: BTreeMap<&str, &Service> = new.iter().map(|(name, service)| (name.as_str(), *service)).collect();
    let removed = old.iter().filter(|(name, _)| !remaining.contains_key(name.as_str()));
    diffs.extend(removed.map(|(_, service)| removed_service(service)));
    diffs
}

fn added_service(service: &Service) -> ServiceDiff {
    let servers = service.servers();
    let default = Service::new(service.name(), servers.to_vec()).map(|default| service_settings(&default));
    let settings = initial(service_settings(service), &default.unwrap_or_default());
    let servers = servers.iter().map(|server| added_server(service, server)).collect();
    ServiceDiff { service: service.name(), change: Change::Added, settings, servers, order: None }
}

fn removed_service(service: &Service) -> ServiceDiff {
    let servers = service.servers().iter().map(removed_server).collect();
    ServiceDiff { service: service.name(), change: Change::Removed, settings: Vec::new(), servers, order: None }
}

fn added_server(service: &Service, server: &Server) -> ServerDiff {
    let mut default = server_settings(service, &Server::new(server.url.clone()));
    default.retain(|setting| setting.key != "url");
    let settings = initial(server_settings(service, server), &default);
    ServerDiff { server: server.name.clone(), change: Change::Added, settings }
}

fn removed_server(server: &Server) -> ServerDiff {
    ServerDiff { server: server.name.clone(), change: Change::Removed, settings: Vec::new() }
}

fn diff_service(old: &Service, new: &Service) -> ServiceDiff {
    let settings = changes(&service_settings(old), &service_settings(new));
    let mut servers: Vec<ServerDiff> = new
        .servers()
        .iter()
        .map(|server| match named(old, &server.name) {
            None => added_server(new, server),
            Some(other) => {
                let settings = changes(&server_settings(old, other), &server_settings(new, server));
                let change = if settings.is_empty() { Change::Unchanged } else { Change::Changed };
                ServerDiff { server: server.name.clone(), change, settings }
            }
        })
        .collect();
    let removed = old.servers().iter().filter(|server| named(new, &server.name).is_none());
    servers.extend(removed.map(removed_server));
    let order = order(old, new);
    let is_same = settings.is_empty() && order.is_none() && servers.iter().all(|it| it.change == Change::Unchanged);
    let change = if is_same { Change::Unchanged } else { Change::Changed };
    ServiceDiff { service: new.name(), change, settings, servers, order }
}

/// Returns the names of all servers before and after, if those in both changed places.
fn order(old: &Service, new: &Service) -> Option<(Vec<String>, Vec<String>)> {
    let names = |service: &Service| service.servers().iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    let common = |service: &Service, other: &Service| {
        let mut names = names(service);
        names.retain(|name| named(other, name).is_some());
        names
    };
    (common(old, new) != common(new, old)).then(|| (names(old), names(new)))
}

fn named<'a>(service: &'a Service, name: &str) -> Option<&'a Server> {
    service.servers().iter().find(|server| server.name == name)
}

/// Returns the settings of something new that are no defaults.
fn initial(settings: Vec<EffectiveSetting>, default: &[EffectiveSetting]) -> Vec<SettingChange> {
    let own = settings.into_iter().filter(|setting| !default.contains(setting));
    own.map(|setting| SettingChange { key: setting.key, old: None, new: Some(setting.value) }).collect()
}

/// Returns the settings that differ: those of `new` in their order, and then those of `old` alone.
fn changes(old: &[EffectiveSetting], new: &[EffectiveSetting]) -> Vec<SettingChange> {
    let find = |settings: &'_ [EffectiveSetting], key: &str| settings.iter().position(|setting| setting.key == key);
    let mut changes = Vec::new();
    for setting in new {
        let other = find(old, &setting.key).and_then(|index| old.get(index));
        if other != Some(setting) {
            let old = other.map(|setting| setting.value.clone());
            changes.push(SettingChange { key: setting.key.clone(), old, new: Some(setting.value.clone()) });
        }
    }
    for setting in old.iter().filter(|setting| find(new, &setting.key).is_none()) {
        changes.push(SettingChange { key: setting.key.clone(), old: Some(setting.value.clone()), new: None });
    }
    changes
}
