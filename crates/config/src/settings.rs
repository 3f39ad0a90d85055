//! The settings of a service: everything but its host and its servers.
//!
//! `defaults` and a service hold the same keys and are read by the same table, one after the other
//! into the same value. So whatever a service does not write keeps the value of `defaults`, and
//! maps such as `health_check` merge key by key.

use std::time::Duration;

use tunnel_balancer_core::{Affinity, Failback, Policy, RetrySettings, Server, ServerCountError, Service, Writes};

use crate::affinity::{self, affinity};
use crate::diagnostic::Code;
use crate::duration::{DEFAULT_RANGE, duration};
use crate::ejection::{self, PartialEjection, ejection};
use crate::failback::{self, failback};
use crate::health_check::{self, PartialHealthCheck, health_check};
use crate::node::{Value, quoted};
use crate::policy::{self, policy};
use crate::reader::{Map, Setting, boolean, one_of, or_off, string};
use crate::report::Report;
use crate::retry::{self, retry};
use crate::value_schema::{StringSchema, ValueSchema, words};

/// What a service does, apart from where.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    policy: Policy,
    health_check: Option<PartialHealthCheck>,
    ejection: PartialEjection,
    retry: RetrySettings,
    failback: Failback,
    writes: Writes,
    slow_start: Option<Duration>,
    affinity: Option<Affinity>,
    served_by_header: bool,
    error_page: Option<String>,
}

/// Every setting of a service.
pub(crate) const KEYS: &[Setting<Settings>] = &[
    Setting::new(
        "policy",
        "Which server is tried first; the others follow when it fails. `failover`: the first in the list that is usable. \
         `round_robin`: in turn, each as often as its weight says. `random`: by lot, with chances by weight. \
         `least_requests`: of two drawn by lot the one with fewer requests under way. `latency`: of two drawn by lot the \
         one that is likely to answer sooner. `hash`: always the same for the same client, by its address unless a map \
         says otherwise.",
        policy::SCHEMA,
        |settings, field| policy(&mut settings.policy, field),
    ),
    Setting::new(
        "failback",
        "When traffic returns to a server that was away, with the policy `failover`. `auto`: as soon as it is usable. \
         `{ after: 10m }`: when it has been usable for that long. `manual`: on command; the Worker has none yet, so there \
         it lasts until the isolate ends.",
        failback::SCHEMA,
        |settings, field| failback(&mut settings.failback, field),
    ),
    Setting::new(
        "writes",
        "Which servers get requests that may change something: all methods but GET, HEAD, OPTIONS, TRACE, PROPFIND, REPORT \
         and SEARCH. `primary_only`: the first server of the list alone, for replicas that only read. No other server gets them \
         when it is unavailable; if it does not respond, they are answered with 503.",
        ValueSchema::Enum(|| words(WRITES)),
        |settings, field| field.set(&mut settings.writes, writes),
    ),
    Setting::new(
        "slow_start",
        "How long the share of a server that was away takes to grow to its full size. `false`: it has it at once.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Duration(DEFAULT_RANGE)]),
        |settings, field| field.set(&mut settings.slow_start, slow_start),
    ),
    Setting::new(
        "affinity",
        "Whether clients stay with the server they got first, as long as it is usable. `false`: no. \
         `{ cookie: lb, key: \"${AFFINITY_KEY}\" }`: by the cookie `lb`.",
        affinity::SCHEMA,
        |settings, field| affinity(&mut settings.affinity, field),
    ),
    Setting::new(
        "health_check",
        "Asking each server whether it is well. `false`: never. `true`: where `defaults` turned it off, as if nothing were \
         written there.",
        health_check::SCHEMA,
        |settings, field| health_check(&mut settings.health_check, field),
    ),
    Setting::new("retry", "Trying a request again on another server.", retry::SCHEMA, |settings, field| {
        retry(&mut settings.retry, field);
    }),
    Setting::new(
        "ejection",
        "Leaving out a server for failures of real requests.",
        ejection::SCHEMA,
        |settings, field| ejection(&mut settings.ejection, field),
    ),
    Setting::new(
        "served_by_header",
        "Whether responses carry the header `X-Served-By` with the name of the server that responded.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.served_by_header, boolean),
    ),
    Setting::new(
        "error_page",
        "A page of your own, in HTML, for answers that no server gave (503, 504, 508) to clients that want a page. \
         `{{status}}`, `{{reason}}`, `{{message}}` and `{{request_id}}` are filled in. `false`: a plain one.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(HTML)]),
        |settings, field| field.set(&mut settings.error_page, error_page),
    ),
];

const HTML: StringSchema = StringSchema { what: "a page in HTML", pattern: r"^\s*<", longest: None };

const WRITES: &[(&str, Writes)] = &[("anywhere", Writes::Anywhere), ("primary_only", Writes::PrimaryOnly)];

impl Default for Settings {
    /// The core's defaults, which [`Service::new`] sets as well.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            health_check: Some(PartialHealthCheck::default()),
            ejection: PartialEjection::default(),
            retry: RetrySettings::default(),
            failback: Failback::default(),
            writes: Writes::default(),
            slow_start: None,
            affinity: None,
            served_by_header: true,
            error_page: None,
        }
    }
}

impl Settings {
    /// Takes in what is written in `map`.
    pub(crate) fn read(&mut self, map: Map<'_>) {
        let written = map.present(&["failback", "policy"]);
        map.read_into(self, KEYS);
        if let Some(report) = failback::conflict(self.failback, &self.policy)
            && let Some(blamed) = written.culprit()
        {
            blamed.report(report);
        }
    }

    pub(crate) fn service(self, address: String, servers: Vec<Server>) -> Result<Service, ServerCountError> {
        let mut service = Service::new(address, servers)?;
        service.policy = self.policy;
        service.health_check = self.health_check.map(PartialHealthCheck::complete);
        service.ejection = self.ejection.complete();
        service.retry = self.retry;
        service.failback = self.failback;
        service.writes = self.writes;
        service.slow_start = self.slow_start;
        service.affinity = self.affinity;
        service.served_by_header = self.served_by_header;
        service.error_page = self.error_page;
        Ok(service)
    }
}

fn writes(value: &Value<'_>) -> Result<Writes, Report> {
    one_of(value, "value", "`anywhere` or `primary_only`", WRITES)
}

fn slow_start(value: &Value<'_>) -> Result<Option<Duration>, Report> {
    or_off(value, |value| duration(value, DEFAULT_RANGE))
}

fn error_page(value: &Value<'_>) -> Result<Option<String>, Report> {
    or_off(value, |value| {
        let page = string(value, "a page in HTML, or `false`")?;
        if page.trim_start().starts_with('<') {
            return Ok(page.to_owned());
        }
        let report = Report::new(Code::InvalidValue, format!("expected HTML, found {}", quoted(page)));
        Err(report.hint("write the page itself here, below `error_page: |`: there are no files where it is served"))
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
