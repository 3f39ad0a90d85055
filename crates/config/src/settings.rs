//! The settings of a service: everything but its host and its servers.
//!
//! `defaults` and a service hold the same keys and are read by the same table, one after the other into the same value. So
//! whatever a service does not write keeps the value of `defaults`, and maps such as `health_check` merge key by key.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::{EjectionSettings, HealthCheck, Policy, RetrySettings, Server, ServerCountError, Service};

use crate::diagnostic::Code;
use crate::duration::{USUAL, duration, written};
use crate::health_check::health_check;
use crate::node::Value;
use crate::problem::Problem;
use crate::reader::{Field, Key, boolean, number, text};
use crate::size::size;

/// What a service does, apart from where.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    policy: Policy,
    health_check: Option<HealthCheck>,
    ejection: EjectionSettings,
    retry: RetrySettings,
    served_by: bool,
}

/// Every setting of a service.
pub(crate) const KEYS: &[Key<Settings>] = &[
    ("policy", |settings, field| field.set(&mut settings.policy, policy)),
    ("health_check", |settings, field| health_check(&mut settings.health_check, field)),
    ("retry", |settings, field| retry(&mut settings.retry, field)),
    ("ejection", |settings, field| ejection(&mut settings.ejection, field)),
    ("served_by", |settings, field| field.set(&mut settings.served_by, boolean)),
];

const RETRY_KEYS: &[Key<RetrySettings>] = &[
    ("attempts", |retry, field| field.set(&mut retry.attempts, attempts)),
    ("timeout", |retry, field| field.set(&mut retry.timeout, |value| duration(value, RETRY_TIMEOUT))),
    ("replay_limit", |retry, field| field.set(&mut retry.replay_limit, |value| size(value, 0..=MAX_REPLAY))),
];

const EJECTION_KEYS: &[Key<EjectionSettings>] = &[
    ("failures", |ejection, field| field.set(&mut ejection.failures, |value| number(value, 1..=100))),
    ("base", |ejection, field| field.set(&mut ejection.base, |value| duration(value, USUAL))),
    ("max", |ejection, field| field.set(&mut ejection.max, |value| duration(value, USUAL))),
];

const POLICIES: &[(&str, Policy)] = &[("failover", Policy::Failover)];

const MAX_ATTEMPTS: u32 = 10;
const RETRY_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Kept bodies share 8 MiB of an isolate: a larger one would leave no room for others.
const MAX_REPLAY: u64 = 1 << 20;

/// What one request may cause on Cloudflare's free plan, and how many probes ride along with it.
///
/// A request makes min(`attempts`, servers) attempts, at most [`MAX_ATTEMPTS`], and starts that many probes: 10 + 4 = 14
/// subrequests. So no file can ask for more than the platform allows, and this line does not compile if a raised limit
/// ever makes that untrue.
const MAX_SUBREQUESTS: u32 = 50;
const PROBES_AT_ONCE: u32 = 4;
const _: () = assert!(MAX_ATTEMPTS + PROBES_AT_ONCE <= MAX_SUBREQUESTS);

impl Default for Settings {
    /// The core's defaults, which [`Service::new`] sets as well.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            health_check: Some(HealthCheck::default()),
            ejection: EjectionSettings::default(),
            retry: RetrySettings::default(),
            served_by: true,
        }
    }
}

impl Settings {
    pub(crate) fn service(self, host: String, servers: Vec<Server>) -> Result<Service, ServerCountError> {
        let mut service = Service::new(host, servers)?;
        service.policy = self.policy;
        service.health_check = self.health_check;
        service.ejection = self.ejection;
        service.retry = self.retry;
        service.served_by = self.served_by;
        Ok(service)
    }
}

fn policy(value: &Value<'_>) -> Result<Policy, Problem> {
    let name = text(value, "the name of a policy")?;
    let known: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
    let found = POLICIES.iter().find(|(known, _)| *known == name);
    found.map(|(_, policy)| *policy).ok_or_else(|| Problem::unknown(Code::InvalidValue, "policy", name, &known))
}

fn retry(retry: &mut RetrySettings, field: Field<'_>) {
    match field.value() {
        Value::Bool(false) => field.report(
            Problem::wrong_type("a map of retry settings", field.value())
                .hint("for a single attempt write `{ attempts: 1 }`"),
        ),
        _ => {
            if let Some(map) = field.map("a map of retry settings") {
                map.apply(retry, RETRY_KEYS);
            }
        }
    }
}

fn attempts(value: &Value<'_>) -> Result<u32, Problem> {
    number(value, 1..=MAX_ATTEMPTS).map_err(|problem| match value {
        Value::Integer(1..) => problem.hint(format!(
            "every attempt is a subrequest, of which a request may cause {MAX_SUBREQUESTS}, \
             its {PROBES_AT_ONCE} probes included"
        )),
        Value::Integer(0) => problem.hint("the first attempt counts: `1` means no retry"),
        _ => problem,
    })
}

fn ejection(ejection: &mut EjectionSettings, field: Field<'_>) {
    let Some(map) = field.map("a map of ejection settings") else { return };
    let blamed = map.first_of(&["base", "max"]);
    if !map.apply(ejection, EJECTION_KEYS) || ejection.base <= ejection.max {
        return;
    }
    if let Some(field) = blamed {
        let (base, max) = (written(ejection.base), written(ejection.max));
        let message = format!("`base` ({base}) is longer than `max` ({max})");
        let hint = format!("the first ejection cannot be longer than the longest: set `max` to {base} or more");
        field.report(Problem::new(Code::Conflict, message).hint(hint));
    }
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
