//! `notify`: where outages are announced, and heartbeats are sent.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::host::split_url;
use tunnel_balancer_core::{ServerUrl, Service};
use tunnel_balancer_state::{HealthSharing, NoticeKind, NotifyTarget, TargetKind};

use crate::diagnostic::{Code, Errors};
use crate::duration::duration;
use crate::headers::{self, is_sensitive_name, server_headers};
use crate::host;
use crate::lint::lint_address;
use crate::node::{Value, backticked};
use crate::platform::Platform;
use crate::primitives::{boolean, one_of};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::secret::{Expansion, REFERENCE, expand, secret};
use crate::value_schema::{StringSchema, ValueSchema, words};

pub(crate) const SCHEMA: ValueSchema =
    ValueSchema::OneOf(&[ValueSchema::Disabled, TARGET, ValueSchema::List(&TARGET, MAX_TARGETS)]);

const TARGET: ValueSchema = ValueSchema::Shared("notify_target", &ValueSchema::Map(|| Setting::docs(KEYS)));

/// Each outage is one request per target.
const MAX_TARGETS: usize = 16;

/// The largest number of services that a target lists.
const MAX_SERVICES: usize = 100;

/// Monitors expect a heartbeat at least once a day.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);

const ADDRESS: StringSchema =
    StringSchema { what: "a URL", pattern: r"^([Hh][Tt][Tt][Pp][Ss]?://|\$\{)[!-~]+$", longest: None };

const EXAMPLE: &str = "write a target such as `ntfy: https://ntfy.sh/my-topic` or `discord: \"${DISCORD_WEBHOOK}\"`";

/// Warns about targets that the Worker cannot notify: isolates that do not share what they know
/// would each announce an outage.
pub(crate) fn check_sharing(targets: Field<'_>, sharing: HealthSharing) {
    let is_worker = !targets.may_run_on(Platform::Serve);
    // A monitor on another machine reads the same file, and notifies.
    let is_sent = matches!(sharing, HealthSharing::Kv | HealthSharing::DurableObject | HealthSharing::Monitor);
    if is_worker && !is_sent && !matches!(targets.value(), Value::Bool(false)) {
        let message = format!("the Worker sends no notifications with `health_sharing: {}`", sharing.as_str());
        targets.report(Report::new(Code::NoEffect, message).hint("set `health_sharing: durable_object` or `kv`"));
    }
}

/// A target while it is read.
#[derive(Default)]
struct TargetSettings {
    /// The service and the URL. An invalid URL is empty.
    service: Option<(TargetKind, String)>,
    token: Option<String>,
    headers: Vec<(String, String)>,
    services: Vec<String>,
    events: Vec<NoticeKind>,
    hostnames: bool,
    interval: Option<Duration>,
}

const KEYS: &[Setting<TargetSettings>] = &[
    Setting::new(
        "json",
        "",
        "The URL that gets a POST with a JSON object for each notice. It may be a secret, as may the other URLs.",
        ValueSchema::String(ADDRESS),
        |settings, field| settings.address(TargetKind::Json, field),
    ),
    Setting::new(
        "ntfy",
        "",
        "The URL of a topic of ntfy, such as `https://ntfy.sh/my-topic`.",
        ValueSchema::String(ADDRESS),
        |settings, field| settings.address(TargetKind::Ntfy, field),
    ),
    Setting::new("discord", "", "The URL of a webhook of Discord.", ValueSchema::String(ADDRESS), |settings, field| {
        settings.address(TargetKind::Discord, field);
    }),
    Setting::new(
        "slack",
        "",
        "The URL of an incoming webhook of Slack, or of a compatible service.",
        ValueSchema::String(ADDRESS),
        |settings, field| settings.address(TargetKind::Slack, field),
    ),
    Setting::new(
        "gotify",
        "",
        "The URL of a Gotify server, such as `https://push.example.com`. Requires `token`.",
        ValueSchema::String(ADDRESS),
        |settings, field| settings.address(TargetKind::Gotify, field),
    ),
    Setting::new(
        "heartbeat",
        "",
        "The URL that gets a GET at an interval while every service has an available server, for monitors such as \
         Uptime Kuma and Healthchecks.io.",
        ValueSchema::String(ADDRESS),
        |settings, field| settings.address(TargetKind::Heartbeat, field),
    ),
    Setting::new(
        "token",
        "",
        "The token of an application in Gotify, the access token of ntfy, or the token of `Authorization: Bearer` for \
         `json`: `\"${NOTIFY_TOKEN}\"`.",
        ValueSchema::String(REFERENCE),
        |settings, field| settings.token = secret(field, "NOTIFY_TOKEN", 1),
    ),
    Setting::new(
        "headers",
        "{}",
        "Headers that are added to each request. `${NAME}` in a value is replaced by a secret.",
        headers::SCHEMA,
        |settings, field| {
            let mut headers = Vec::new();
            server_headers(&mut headers, field, None);
            settings.headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
        },
    ),
    Setting::new(
        "services",
        "",
        "The addresses of the services whose notices are sent. Default: all.",
        ValueSchema::OneOf(&[ValueSchema::String(host::ADDRESS), ValueSchema::List(&SERVICE, MAX_SERVICES)]),
        |settings, field| settings.services = items(field, MAX_SERVICES).into_iter().filter_map(service).collect(),
    ),
    Setting::new(
        "events",
        "[server_down, server_up, service_down, service_up]",
        "The notices that are sent. `server_down`: a server is unhealthy or ejected. `server_up`: it takes traffic \
         again. `service_down`: no server of a service is available. `service_up`: one is available again. `control`: \
         an operator changed something at run time.",
        ValueSchema::OneOf(&[EVENT, ValueSchema::List(&EVENT, NoticeKind::NAMES.len())]),
        |settings, field| {
            settings.events =
                items(field, NoticeKind::NAMES.len()).into_iter().filter_map(|item| item.read(event)).collect()
        },
    ),
    Setting::new(
        "hostnames",
        "false",
        "Whether notices have the hostnames of servers. `false`: only their names.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.hostnames, boolean),
    ),
    Setting::new(
        "interval",
        "1m",
        "The interval of a `heartbeat`.",
        ValueSchema::Duration(INTERVAL),
        |settings, field| settings.interval = field.read(|value| duration(value, INTERVAL)),
    ),
];

const SERVICE: ValueSchema = ValueSchema::String(host::ADDRESS);

const EVENT: ValueSchema = ValueSchema::Enum(|| words(&NoticeKind::NAMES));

/// Reads the targets: `false`, a map, or a list of maps.
pub(crate) fn targets(field: Field<'_>) -> Vec<NotifyTarget> {
    match field.value() {
        Value::Bool(false) => return Vec::new(),
        Value::List(items) if items.is_empty() || items.len() > MAX_TARGETS => {
            let message = format!("expected 1 to {MAX_TARGETS} targets, found {}", items.len());
            field.report(Report::new(Code::OutOfRange, message).hint(EXAMPLE));
            return Vec::new();
        }
        _ => {}
    }
    field.one_or_many().into_iter().filter_map(target).collect()
}

fn target(field: Field<'_>) -> Option<NotifyTarget> {
    if let Value::String(_) = field.value() {
        // It may be a secret.
        let report = Report::wrong_type_redacted("a map such as `{ ntfy: https://ntfy.sh/my-topic }`", field.value());
        field.report(report.hint(EXAMPLE));
        return None;
    }
    let mut settings = TargetSettings::default();
    let map = field.map("a map such as `{ ntfy: https://ntfy.sh/my-topic }`")?;
    let is_known = map.read_into(&mut settings, KEYS);
    let Some((kind, url)) = settings.service else {
        if is_known {
            field.report(Report::new(Code::MissingKey, "the target has no URL").hint(EXAMPLE));
        }
        return None;
    };
    check_options(kind, field);
    let mut target = NotifyTarget::new(kind, url);
    target.token = settings.token;
    target.headers = settings.headers;
    target.services = settings.services;
    target.events = settings.events;
    target.hostnames = settings.hostnames;
    target.interval = settings.interval.unwrap_or(target.interval);
    Some(target)
}

/// Reports a missing token, and options that the service does not have.
fn check_options(kind: TargetKind, field: Field<'_>) {
    if kind == TargetKind::Gotify && field.get("token").is_none() {
        let report = Report::new(Code::MissingKey, "missing key `token`");
        field.report(report.hint("write the token of the application in Gotify: `token: \"${GOTIFY_TOKEN}\"`"));
    }
    let unused: &[&str] = match kind {
        TargetKind::Heartbeat => &["token", "services", "events", "hostnames"],
        TargetKind::Discord | TargetKind::Slack => &["token", "interval"],
        _ => &["interval"],
    };
    for (name, option) in unused.iter().filter_map(|name| Some((name, field.get(name)?))) {
        let message = format!("{} has no effect on a target of the kind `{}`", backticked(name), kind.as_str());
        option.report(Report::new(Code::NoEffect, message).hint("remove it"));
    }
}

impl TargetSettings {
    fn address(&mut self, kind: TargetKind, field: Field<'_>) {
        if let Some((first, _)) = &self.service {
            let message = format!("a target has one service, found `{}` and `{}`", first.as_str(), kind.as_str());
            field.report(Report::new(Code::Conflict, message).hint("write a list with one map per target"));
            return;
        }
        self.service = Some((kind, url(kind, field).unwrap_or_default()));
    }
}

fn url(kind: TargetKind, field: Field<'_>) -> Option<String> {
    let example = format!("{}_URL", kind.as_str().to_ascii_uppercase());
    let Expansion { text, has_secret } = expand(field, "a URL such as `https://ntfy.sh/my-topic`", &example)?;
    if has_secret && !field.secrets().are_known() {
        return Some(text);
    }
    let checked = check_url(kind, &text);
    field.read(|_| match checked {
        Ok(address) => {
            if !has_secret {
                lint_url(kind, &text, &address, &example, field);
            }
            Ok(text)
        }
        Err((message, hint)) if has_secret => {
            let report = Report::new(Code::InvalidSecret, format!("{message}, with its secret")).hint(hint);
            field.secrets().or_substitute(report)
        }
        Err((message, hint)) => Err(Report::new(Code::InvalidValue, message).hint(hint)),
    })
}

/// Returns the address of a valid URL, or else what is wrong, with a hint. The URL may be a secret,
/// so it is not repeated.
fn check_url(kind: TargetKind, url: &str) -> Result<ServerUrl, (&'static str, &'static str)> {
    let invalid = ("expected an absolute URL of visible ASCII characters", "write a URL that starts with `https://`");
    let (scheme, authority, path) = split_url(url).ok_or(invalid)?;
    let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    if !is_web || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid);
    }
    if authority.contains('@') {
        return Err(("expected a URL without credentials", "write them as `token` or as a header in `headers`"));
    }
    let address = format!("{scheme}://{authority}").parse().map_err(|_| invalid)?;
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let topic = path.rsplit('/').next().unwrap_or_default();
    let is_of_a_topic = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if kind == TargetKind::Ntfy && (topic.is_empty() || topic.len() > 64 || !topic.bytes().all(is_of_a_topic)) {
        return Err(("expected the URL of a topic", "write the topic as the path: `https://ntfy.sh/my-topic`"));
    }
    Ok(address)
}

/// Warns of a URL that is a secret in plain text, or to which requests are not encrypted.
fn lint_url(kind: TargetKind, url: &str, address: &ServerUrl, example: &str, field: Field<'_>) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let is_secret = query.split('&').any(|pair| is_sensitive_name(pair.split('=').next().unwrap_or_default()));
    if is_secret || matches!(kind, TargetKind::Discord | TargetKind::Slack) {
        let report = Report::new(Code::InlineSecretUrl, "the URL is a secret in plain text");
        let hint = format!("write `\"${{{example}}}\"` and set it with `npx wrangler secret put {example}`");
        field.report(report.hint(hint));
    }
    lint_address(address, field);
}

/// Returns the items of a list of 1 to `most`, or else the value itself.
fn items(field: Field<'_>, most: usize) -> Vec<Field<'_>> {
    let items = field.one_or_many();
    if items.is_empty() || items.len() > most {
        let message = format!("expected 1 to {most} items, found {}", items.len());
        field.report(Report::new(Code::OutOfRange, message).hint("remove the key for the default"));
        return Vec::new();
    }
    items
}

fn service(field: Field<'_>) -> Option<String> {
    let expected = "the address of a service, such as `chat.example.com`";
    match field.value() {
        Value::String(text) => field.read(|_| host::public_address(text, field)),
        other => {
            field.report(Report::wrong_type(expected, other));
            None
        }
    }
}

fn event(value: &Value<'_>) -> Result<NoticeKind, Report> {
    let expected = "`server_down`, `server_up`, `service_down`, `service_up` or `control`";
    one_of(value, "event", expected, &NoticeKind::NAMES)
}

/// Reports services of targets that the file does not have. `list` is its map `services`, which may
/// be invalid.
pub(crate) fn check_services(targets: Field<'_>, list: Option<Field<'_>>, services: &[Service]) {
    if list.is_none_or(|list| !list.is_valid()) {
        return;
    }
    let names: Vec<String> = services.iter().map(Service::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lists = targets.one_or_many().into_iter().filter_map(|target| target.get("services"));
    let unknown = lists.flat_map(Field::one_or_many).filter_map(|item| {
        let Value::String(text) = item.value() else { return None };
        let address = host::public_address(text, item).ok()?;
        (!names.contains(&address.as_str())).then_some((item, address))
    });
    for (index, (item, address)) in unknown.collect::<Vec<_>>().into_iter().enumerate() {
        // Further errors are only counted, so they need no similar name.
        let candidates = if index < Errors::MAX_DIAGNOSTICS { &names[..] } else { &[] };
        item.report(Report::unknown(Code::InvalidValue, "service", &address, candidates));
    }
}
