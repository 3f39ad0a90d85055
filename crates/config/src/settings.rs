//! The settings of a service: everything but its host and its servers.
//!
//! `defaults` and a service hold the same keys and are read by the same table, one after the other into the same value. So
//! whatever a service does not write keeps the value of `defaults`, and maps such as `health_check` merge key by key.

use std::time::Duration;

use tunnel_balancer_core::{
    Affinity, EjectionSettings, Failback, HealthCheck, Policy, RetrySettings, Server, ServerCountError, Service, Writes,
};

use crate::affinity::affinity;
use crate::diagnostic::Code;
use crate::duration::{USUAL, duration};
use crate::ejection::ejection;
use crate::failback::{self, failback};
use crate::health_check::health_check;
use crate::node::{Value, quoted};
use crate::policy::policy;
use crate::problem::Problem;
use crate::reader::{Key, Map, boolean, or_off, text, word};
use crate::retry::retry;

/// What a service does, apart from where.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    policy: Policy,
    health_check: Option<HealthCheck>,
    ejection: EjectionSettings,
    retry: RetrySettings,
    failback: Failback,
    writes: Writes,
    slow_start: Option<Duration>,
    affinity: Option<Affinity>,
    served_by: bool,
    error_page: Option<String>,
}

/// Every setting of a service.
pub(crate) const KEYS: &[Key<Settings>] = &[
    ("policy", |settings, field| policy(&mut settings.policy, field)),
    ("failback", |settings, field| failback(&mut settings.failback, field)),
    ("writes", |settings, field| field.set(&mut settings.writes, writes)),
    ("slow_start", |settings, field| field.set(&mut settings.slow_start, slow_start)),
    ("affinity", |settings, field| affinity(&mut settings.affinity, field)),
    ("health_check", |settings, field| health_check(&mut settings.health_check, field)),
    ("retry", |settings, field| retry(&mut settings.retry, field)),
    ("ejection", |settings, field| ejection(&mut settings.ejection, field)),
    ("served_by", |settings, field| field.set(&mut settings.served_by, boolean)),
    ("error_page", |settings, field| field.set(&mut settings.error_page, error_page)),
];

const WRITES: &[(&str, Writes)] = &[("anywhere", Writes::Anywhere), ("primary_only", Writes::PrimaryOnly)];

impl Default for Settings {
    /// The core's defaults, which [`Service::new`] sets as well.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            health_check: Some(HealthCheck::default()),
            ejection: EjectionSettings::default(),
            retry: RetrySettings::default(),
            failback: Failback::default(),
            writes: Writes::default(),
            slow_start: None,
            affinity: None,
            served_by: true,
            error_page: None,
        }
    }
}

impl Settings {
    /// Takes in what is written in `map`.
    pub(crate) fn apply(&mut self, map: Map<'_>) {
        let written = map.written(&["failback", "policy"]);
        map.apply(self, KEYS);
        if let Some(problem) = failback::conflict(self.failback, &self.policy)
            && let Some(blamed) = written.blamed()
        {
            blamed.report(problem);
        }
    }

    pub(crate) fn service(self, address: String, servers: Vec<Server>) -> Result<Service, ServerCountError> {
        let mut service = Service::new(address, servers)?;
        service.policy = self.policy;
        service.health_check = self.health_check;
        service.ejection = self.ejection;
        service.retry = self.retry;
        service.failback = self.failback;
        service.writes = self.writes;
        service.slow_start = self.slow_start;
        service.affinity = self.affinity;
        service.served_by = self.served_by;
        service.error_page = self.error_page;
        Ok(service)
    }
}

fn writes(value: &Value<'_>) -> Result<Writes, Problem> {
    word(value, "value", "`anywhere` or `primary_only`", WRITES)
}

fn slow_start(value: &Value<'_>) -> Result<Option<Duration>, Problem> {
    or_off(value, |value| duration(value, USUAL))
}

fn error_page(value: &Value<'_>) -> Result<Option<String>, Problem> {
    or_off(value, |value| {
        let page = text(value, "a page in HTML, or `false`")?;
        if page.trim_start().starts_with('<') {
            return Ok(page.to_owned());
        }
        let problem = Problem::new(Code::InvalidValue, format!("expected HTML, found {}", quoted(page)));
        Err(problem.hint("write the page itself here, below `error_page: |`: there are no files where it is served"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_cores() {
        let servers = || vec![Server::new("a.example.com".parse().unwrap())];
        let service = Settings::default().service("x.example.com".to_owned(), servers()).unwrap();
        assert_eq!(service, Service::new("x.example.com", servers()).unwrap());
    }
}
