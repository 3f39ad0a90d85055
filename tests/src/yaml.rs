//! The configuration of a case.

use std::fmt::Write;

use crate::client::HOST;
use crate::server::{FaultyServer, HEALTH_PATH};

/// One service of the configuration, by default on [`HOST`], with the policy `failover` and without
/// health checks.
///
/// Most cases count requests, and probes would make the time of a retry unpredictable.
#[derive(Clone, Debug)]
pub struct Service {
    host: String,
    servers: Vec<String>,
    health_check: String,
    settings: Vec<String>,
}

/// A whole configuration, as text.
pub struct Yaml(pub String);

impl Service {
    /// Creates a service on [`HOST`] with these servers.
    pub fn of<'a>(servers: impl IntoIterator<Item = &'a FaultyServer>) -> Self {
        Self::at(servers.into_iter().map(|server| (server.name(), server.url())))
    }

    /// Creates a service on [`HOST`] with servers given by name and URL.
    pub fn at<'a>(servers: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let server = |(name, url)| format!("{{ url: \"{url}\", name: {name} }}");
        let servers = servers.into_iter().map(server).collect();
        Self { host: HOST.to_owned(), servers, health_check: "false".to_owned(), settings: Vec::new() }
    }

    /// Sets another public host.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Sets the value of `health_check`.
    pub fn health_check(mut self, value: &str) -> Self {
        value.clone_into(&mut self.health_check);
        self
    }

    /// Enables health checks with the default intervals.
    pub fn checked(self) -> Self {
        self.checked_every("30s", "10s")
    }

    /// Enables health checks with the shortest intervals, for cases in which a server recovers.
    pub fn checked_often(self) -> Self {
        self.checked_every("1s", "1s")
    }

    /// Adds a line of settings, such as `retry: { attempts: 3 }`.
    pub fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Adds a key to each of its servers, such as `max_requests: 1`.
    pub fn each_with(mut self, key: &str) -> Self {
        for server in &mut self.servers {
            *server = format!("{}, {key} }}", server.strip_suffix(" }").unwrap_or(server));
        }
        self
    }

    /// Enables health checks with these intervals.
    pub fn checked_every(mut self, interval: &str, unhealthy: &str) -> Self {
        let timeout = if interval == "1s" { "1s" } else { "5s" };
        self.health_check = format!(
            "{{ path: {HEALTH_PATH}, interval: {interval}, unhealthy_interval: {unhealthy}, timeout: {timeout} }}"
        );
        self
    }

    fn write(&self, yaml: &mut String) {
        let _ = writeln!(yaml, "  \"{}\":\n    servers:", self.host);
        for server in &self.servers {
            let _ = writeln!(yaml, "      - {server}");
        }
        let _ = writeln!(yaml, "    health_check: {}", self.health_check);
        for setting in &self.settings {
            let _ = writeln!(yaml, "    {setting}");
        }
    }
}

impl From<Service> for Yaml {
    fn from(service: Service) -> Self {
        vec![service].into()
    }
}

impl From<Vec<Service>> for Yaml {
    fn from(services: Vec<Service>) -> Self {
        let mut yaml = String::from("services:\n");
        for service in services {
            service.write(&mut yaml);
        }
        Self(yaml)
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
