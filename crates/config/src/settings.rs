//! The settings of a service except its address and its servers.
//!
//! `defaults` and the service are read by the same table into the same value, one after the other.
//! So a key that is absent in the service has the value of `defaults`, and maps such as
//! `health_check` are merged key by key.

use std::time::Duration;

use tunnel_balancer_core::{Conflict, Server, Service, ServiceError, Writes, limits};

use crate::affinity::{self, affinity};
use crate::diagnostic::Code;
use crate::duration::duration;
use crate::ejection::{self, PartialEjection, ejection};
use crate::failback::{self, failback};
use crate::health_check::{self, PartialHealthCheck, health_check};
use crate::host::PATH;
use crate::node::{Value, backticked, quoted};
use crate::policy::{self, policy};
use crate::primitives::{boolean, one_of, or_disabled, string};
use crate::reader::{Map, Setting};
use crate::report::Report;
use crate::retry::{self, retry};
use crate::titles;
use crate::value_schema::{StringSchema, ValueSchema, words};

/// The settings of a service, before its address and its servers are known.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A service with these settings and a placeholder as its server.
    service: Service,
    title: Option<String>,
    health_check: Option<PartialHealthCheck>,
    ejection: PartialEjection,
}

/// The table of settings.
pub(crate) const KEYS: &[Setting<Settings>] = &[
    Setting::new(
        "title",
        "",
        "The name of the service on the status page and in badges, which strangers may see, of up to 60 characters. \
         Default: the first label of the host and the path, such as `chat` or `chat/api`.",
        ValueSchema::String(titles::TITLE),
        |settings, field| settings.title = field.read(titles::title),
    ),
    Setting::new(
        "policy",
        "failover",
        "How the first server is selected among the available ones. `failover`: the first of the list. `round_robin`: \
         in turns, by weight. `random`: at random, by weight. `least_requests`: the one with fewer requests in flight \
         of two random servers. `latency`: the one with the shorter expected response time of two random servers. \
         `hash`: the same server for the same client IP address, or for the key of a map: \
         `{ hash: path }`, `{ hash: { header: X-User } }` or `{ hash: { cookie: session } }`.",
        policy::SCHEMA,
        |settings, field| policy(&mut settings.service.policy, field),
    ),
    Setting::new(
        "failback",
        "auto",
        "When traffic returns to a preferred server, with the policy `failover`. `auto`: as soon as it is available. \
         `{ after: 10m }`: when it has been available for that long. `manual`: on command (`ctl failback`, or \
         SIGUSR1 to `serve`). In the Worker without `health_sharing`, it also ends with the isolate.",
        failback::SCHEMA,
        |settings, field| failback(&mut settings.service.failback, field),
    ),
    Setting::new(
        "strip_prefix",
        "false",
        "The beginning of the path of the service that servers do not receive. With `strip_prefix: /api`, the \
         service `example.com/api` sends `/api/x` to servers as `/x`. In `Location`, `Refresh`, `Link` and the paths \
         of cookies it is added again, unless they begin with it. `false`: servers receive the whole path.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(PATH)]),
        |settings, field| field.set(&mut settings.service.strip_prefix, strip_prefix),
    ),
    Setting::new(
        "writes",
        "anywhere",
        "Which servers get requests with unsafe methods: all except GET, HEAD, OPTIONS, PROPFIND, REPORT and SEARCH. \
         `primary_only`: the first server of the list, for read-only replicas. While it does not respond, such \
         requests get 503.",
        ValueSchema::Enum(|| words(WRITES)),
        |settings, field| field.set(&mut settings.service.writes, writes),
    ),
    Setting::new(
        "maintenance",
        "false",
        "Whether all requests get 503 with the page of `error_page`, and none is sent to a server. Servers are probed \
         meanwhile. All of them may be disabled.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.service.maintenance, boolean),
    ),
    Setting::new(
        "slow_start",
        "false",
        "The time in which the share of a server that was unavailable grows to its full size. `false`: it gets its \
         share at once.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Duration(limits::DURATION)]),
        |settings, field| field.set(&mut settings.service.slow_start, slow_start),
    ),
    Setting::new(
        "affinity",
        "false",
        "Whether clients stay with the server of their first request while it is available. `false`: no. \
         `{ cookie: lb, key: \"${AFFINITY_KEY}\" }`: by the cookie `lb`, which is signed with a secret.",
        affinity::SCHEMA,
        |settings, field| affinity(&mut settings.service.affinity, field),
    ),
    Setting::new(
        "health_check",
        "",
        "How each server is probed. `/health`: short for `{ path: /health }`. `tcp`: short for `{ type: tcp }`. \
         `false`: not at all. `true`: with the default settings, if `defaults` disabled it.",
        health_check::SCHEMA,
        |settings, field| health_check(&mut settings.health_check, field),
    ),
    Setting::new("retry", "", "Retries of failed requests on other servers.", retry::SCHEMA, |settings, field| {
        retry(&mut settings.service.retry, field);
    }),
    Setting::new(
        "ejection",
        "",
        "Ejection of servers for failures in traffic.",
        ejection::SCHEMA,
        |settings, field| ejection(&mut settings.ejection, field),
    ),
    Setting::new(
        "served_by_header",
        "true",
        "Whether responses carry the header `X-Served-By` with the name of the server that responded.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.service.served_by_header, boolean),
    ),
    Setting::new(
        "error_page",
        "false",
        "The HTML page of error responses that the balancer makes itself (503, 504, 508), for clients that accept \
         HTML. `{{status}}`, `{{reason}}`, `{{message}}` and `{{request_id}}` are replaced. `false`: the built-in \
         page. Example: `error_page: <!doctype html><title>{{status}}</title><p>{{message}}</p>`.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(HTML)]),
        |settings, field| field.set(&mut settings.service.error_page, error_page),
    ),
    Setting::new(
        "fallback",
        "false",
        "The URL to which clients are redirected (302) when no server responds, after the last resort and \
         `retry.hold`, such as `https://status.example.net`. Other errors of the balancer are not redirected. \
         `false`: they get 503.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(FALLBACK)]),
        |settings, field| field.set(&mut settings.service.fallback, fallback),
    ),
];

const FALLBACK: StringSchema =
    StringSchema { what: "a URL", pattern: r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$", longest: None };

const HTML: StringSchema = StringSchema { what: "a page in HTML", pattern: r"^\s*<", longest: None };

pub(crate) const WRITES: &[(&str, Writes)] = &[("anywhere", Writes::Anywhere), ("primary_only", Writes::PrimaryOnly)];

impl Settings {
    /// Creates the defaults of the core.
    pub(crate) fn new() -> Option<Self> {
        let placeholder = Server::new("server.invalid".parse().ok()?);
        let service = Service::new("", vec![placeholder]).ok()?;
        let health_check = service.health_check.is_some().then(PartialHealthCheck::default);
        Some(Self { service, title: None, health_check, ejection: PartialEjection::default() })
    }

    /// Returns whether no server gets requests.
    pub(crate) const fn is_in_maintenance(&self) -> bool {
        self.service.maintenance
    }

    /// Returns the health check, which servers can change.
    pub(crate) const fn health_check(&self) -> &Option<PartialHealthCheck> {
        &self.health_check
    }

    /// Reads the settings that are present in `map`.
    pub(crate) fn read(&mut self, map: Map<'_>) {
        let present = map.present(&["failback", "policy"]);
        map.read_into(self, KEYS);
        if let Some(report) = failback::conflict(self.service.failback, &self.service.policy)
            && let Some(culprit) = present.culprit()
        {
            culprit.report(report);
        }
    }

    /// Creates a service with these settings.
    pub(crate) fn service(self, address: String, servers: Vec<Server>) -> Result<Service, ServiceError> {
        let mut service = self.service.with_servers(address, servers)?;
        service.health_check = self.health_check.map(PartialHealthCheck::complete);
        service.ejection = self.ejection.complete();
        service.title = self.title.unwrap_or(service.title);
        Ok(service)
    }
}

fn writes(value: &Value<'_>) -> Result<Writes, Report> {
    one_of(value, "value", "`anywhere` or `primary_only`", WRITES)
}

fn strip_prefix(value: &Value<'_>) -> Result<Option<String>, Report> {
    or_disabled(value, |value| {
        let text = string(value, "a path such as `/api`, or `false`")?;
        let path = text.strip_suffix('/').unwrap_or(text);
        if !path.is_empty() && Service::is_path(path) {
            return Ok(path.to_owned());
        }
        let report = Report::new(Code::InvalidValue, format!("expected a path such as `/api`, found {}", quoted(text)));
        Err(report.hint("write the beginning of the path of the service: `/api` for `example.com/api`"))
    })
}

/// Checks whether the path of a service begins with its `strip_prefix`.
pub(crate) fn check_prefix(service: &Service) -> Result<(), Report> {
    let is_wrong = service.conflicts().any(|conflict| conflict == Conflict::StripPrefix);
    let Some(prefix) = service.strip_prefix.as_deref().filter(|_| is_wrong) else { return Ok(()) };
    let message = format!("the path of the service does not begin with `strip_prefix` ({})", backticked(prefix));
    let hint = if service.path.is_empty() {
        format!("write the address with the path: {}", backticked(&format!("{}{prefix}", service.host)))
    } else {
        format!("write {}, or a beginning of it", backticked(&service.path))
    };
    Err(Report::new(Code::Conflict, message).hint(hint))
}

fn slow_start(value: &Value<'_>) -> Result<Option<Duration>, Report> {
    or_disabled(value, |value| duration(value, limits::DURATION))
}

fn error_page(value: &Value<'_>) -> Result<Option<String>, Report> {
    or_disabled(value, |value| {
        let page = string(value, "a page in HTML, or `false`")?;
        if page.trim_start().starts_with('<') {
            return Ok(page.to_owned());
        }
        let report = Report::new(Code::InvalidValue, format!("expected a page in HTML, found {}", quoted(page)));
        Err(report.hint("write the HTML here, below `error_page: |`: file names are not supported"))
    })
}

fn fallback(value: &Value<'_>) -> Result<Option<String>, Report> {
    or_disabled(value, |value| {
        let text = string(value, "a URL such as `https://status.example.net`, or `false`")?;
        if Service::is_fallback(text) {
            return Ok(text.to_owned());
        }
        // The URL may contain a password.
        let report = Report::new(Code::InvalidValue, "expected an absolute URL of visible ASCII characters");
        Err(report.hint("write a URL outside of this service, such as `https://status.example.net`"))
    })
}
