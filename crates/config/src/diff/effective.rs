//! The settings in effect, with the keys and values of a file, and with all defaults.
//!
//! A disabled health check or status page has `false` as its value, and the defaults of the keys
//! below it. So two configurations are equal if and only if these lists are.

use std::time::Duration;

use tunnel_balancer_core::{
    Affinity, EjectionSettings, Failback, HashOn, HealthCheck, HostHeader, Policy, RetrySettings, Server, ServerHeader,
    ServerHealthCheck, Service, StatusRanges,
};
use tunnel_balancer_state::NotifyTarget;
use tunnel_balancer_status::StatusSettings;

use crate::duration::format_duration;
use crate::headers::is_sensitive_name;
use crate::redact::redact_urls;
use crate::scalar::yaml_scalar;
use crate::size::format_size;
use crate::statuses::format_statuses;
use crate::{Config, failback, health_check, policy, settings};

/// A setting and its value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct EffectiveSetting {
    pub(super) key: String,
    /// The value as YAML, redacted.
    pub(super) value: String,
    /// The redacted part, which is compared but never shown.
    secret: String,
}

/// Returns the settings that are no settings of services.
pub(super) fn file_settings(config: &Config) -> Vec<EffectiveSetting> {
    let mut all = vec![plain("health_sharing", config.health_sharing.as_str())];
    let mut kinds: Vec<&str> = Vec::new();
    for target in &config.notify {
        let kind = target.kind.as_str();
        let number = 1 + kinds.iter().filter(|other| **other == kind).count();
        kinds.push(kind);
        let key = if number == 1 { format!("notify.{kind}") } else { format!("notify.{kind}.{number}") };
        all.push(notify(key, target));
    }
    all.push(plain("status", config.status.is_some()));
    all.extend(within("status", status(&config.status.clone().unwrap_or_default())));
    all
}

/// Returns the settings of a service except its servers.
pub(super) fn service_settings(service: &Service) -> Vec<EffectiveSetting> {
    let mut all = vec![
        plain("title", yaml_scalar(&service.title)),
        plain("policy", policy_value(&service.policy)),
        plain("failback", failback_value(service.failback)),
        plain("strip_prefix", or_false(service.strip_prefix.as_deref().map(yaml_scalar))),
        plain("writes", word(settings::WRITES, &service.writes)),
        plain("maintenance", service.maintenance),
        plain("slow_start", or_false(service.slow_start.map(format_duration))),
        plain("affinity", service.affinity.is_some()),
    ];
    all.extend(service.affinity.iter().flat_map(|settings| within("affinity", affinity(settings))));
    all.push(plain("health_check", service.health_check.is_some()));
    all.extend(within("health_check", check(&service.health_check.clone().unwrap_or_default())));
    all.extend(within("retry", retry(&service.retry)));
    all.extend(within("ejection", ejection(&service.ejection)));
    all.push(plain("served_by_header", service.served_by_header));
    all.push(hidden("error_page", or_false(service.error_page.as_deref().map(page)), service.error_page.as_deref()));
    let fallback = service.fallback.as_deref();
    all.push(hidden("fallback", or_false(fallback.map(redact_urls)), fallback));
    all
}

/// Returns the settings of a server. Its health check has the keys that differ from its service.
pub(super) fn server_settings(service: &Service, server: &Server) -> Vec<EffectiveSetting> {
    let host_header = match &server.host_header {
        HostHeader::Server => "server",
        HostHeader::Public => "public",
        HostHeader::Name(name) => name,
    };
    let mut all = vec![
        plain("url", server.url.to_string()),
        plain("weight", server.weight),
        plain("backup", server.backup),
        plain("drain", server.drain),
        plain("enabled", server.enabled),
        plain("max_requests", or_false(server.max_requests.map(|most| most.to_string()))),
        plain("host_header", yaml_scalar(host_header)),
        plain("tls.ca", or_false(server.tls.ca.as_deref().map(yaml_scalar))),
        plain("tls.server_name", or_false(server.tls.server_name.as_deref().map(yaml_scalar))),
        plain("tls.insecure_skip_verify", server.tls.insecure_skip_verify),
    ];
    all.extend(server.headers.iter().map(header));
    all.push(match &server.health_check {
        ServerHealthCheck::Inherit => plain("health_check", true),
        ServerHealthCheck::Disabled => plain("health_check", false),
        ServerHealthCheck::Custom(own) => {
            let common = check(&service.health_check.clone().unwrap_or_default());
            map("health_check", different(&common, check(own)))
        }
    });
    all
}

fn plain(key: &str, value: impl ToString) -> EffectiveSetting {
    EffectiveSetting { key: key.to_owned(), value: value.to_string(), secret: String::new() }
}

fn hidden(key: &str, value: impl Into<String>, secret: Option<&str>) -> EffectiveSetting {
    let secret = secret.unwrap_or_default().to_owned();
    EffectiveSetting { key: key.to_owned(), value: value.into(), secret }
}

/// Returns the settings of the map `key`.
fn within(key: &str, settings: Vec<EffectiveSetting>) -> impl Iterator<Item = EffectiveSetting> {
    settings.into_iter().map(move |setting| EffectiveSetting { key: format!("{key}.{}", setting.key), ..setting })
}

/// Returns a setting whose value is a map in one line.
fn map(key: &str, entries: Vec<EffectiveSetting>) -> EffectiveSetting {
    let shown: Vec<String> = entries.iter().map(|entry| format!("{}: {}", entry.key, entry.value)).collect();
    let value = if shown.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", shown.join(", ")) };
    // The length separates the secrets.
    let secret = entries.iter().map(|entry| format!("{} {}", entry.secret.len(), entry.secret)).collect();
    EffectiveSetting { key: key.to_owned(), value, secret }
}

/// Returns the settings of `own` that differ from `common`, and `false` for those that it lacks.
fn different(common: &[EffectiveSetting], own: Vec<EffectiveSetting>) -> Vec<EffectiveSetting> {
    let has = |key: &str| own.iter().any(|setting| setting.key == key);
    let missing: Vec<EffectiveSetting> =
        common.iter().filter(|setting| !has(&setting.key)).map(|setting| plain(&setting.key, false)).collect();
    own.into_iter().filter(|setting| !common.contains(setting)).chain(missing).collect()
}

fn check(check: &HealthCheck) -> Vec<EffectiveSetting> {
    let mut all = vec![
        plain("type", word(health_check::KINDS, &check.kind)),
        plain("method", &check.method),
        hidden("path", redact_urls(&check.path), Some(&check.path)),
        plain("host", or_false(check.host.as_deref().map(yaml_scalar))),
        plain("port", or_false(check.port.map(|port| port.to_string()))),
        plain("interval", format_duration(check.interval)),
        plain("unhealthy_interval", format_duration(check.unhealthy_interval)),
        plain("timeout", format_duration(check.timeout)),
        plain("rise", check.rise),
        plain("fall", check.fall),
        plain("expect_status", statuses(&check.expect_status)),
        plain("expect_body", or_false(check.expect_body.as_deref().map(yaml_scalar))),
    ];
    all.push(match &check.expect_header {
        None => plain("expect_header", false),
        Some((name, contains)) => {
            let shown = if is_sensitive_name(name) { REDACTED.to_owned() } else { yaml_scalar(contains) };
            let value = format!("{{ name: {}, contains: {shown} }}", yaml_scalar(name));
            hidden("expect_header", value, Some(contains))
        }
    });
    all.extend(check.headers.iter().map(header));
    all
}

fn retry(retry: &RetrySettings) -> Vec<EffectiveSetting> {
    let limit = |limit: Option<Duration>| or_false(limit.map(format_duration));
    vec![
        plain("attempts", retry.attempts),
        plain("hold", limit(retry.hold)),
        plain("timeout", format_duration(retry.timeout)),
        plain("per_try_timeout", limit(retry.per_try_timeout)),
        plain("liveness_check_after", limit(retry.liveness_check_after)),
        plain("hedge", retry.hedge),
        plain("statuses", statuses(&retry.statuses)),
        plain("passthrough_statuses", statuses(&retry.passthrough_statuses)),
        plain("non_idempotent", retry.non_idempotent),
        plain("budget.percent", retry.budget.percent),
        plain("budget.min_per_second", retry.budget.min_per_second),
        plain("max_buffered_body", format_size(retry.max_buffered_body)),
    ]
}

fn ejection(ejection: &EjectionSettings) -> Vec<EffectiveSetting> {
    vec![
        plain("consecutive_failures", ejection.consecutive_failures),
        plain("window_failures", or_false(ejection.window_failures.map(|most| most.to_string()))),
        plain("base_time", format_duration(ejection.base_time)),
        plain("max_time", format_duration(ejection.max_time)),
        plain("max_percent", ejection.max_percent),
    ]
}

fn affinity(affinity: &Affinity) -> Vec<EffectiveSetting> {
    let key = String::from_utf8_lossy(&affinity.key);
    vec![
        plain("cookie", yaml_scalar(&affinity.cookie)),
        plain("ttl", format_duration(affinity.ttl)),
        hidden("key", reference(&key), Some(&key)),
    ]
}

fn status(status: &StatusSettings) -> Vec<EffectiveSetting> {
    let token = status.token.as_deref().map(|token| hidden("token", reference(token), Some(token)));
    [plain("path", yaml_scalar(&status.path)), plain("public", status.public)].into_iter().chain(token).collect()
}

/// Returns a target as a map of the keys that are set.
fn notify(key: String, target: &NotifyTarget) -> EffectiveSetting {
    let default = NotifyTarget::new(target.kind, "");
    let list = |items: &[&str]| format!("[{}]", items.join(", "));
    let services: Vec<&str> = target.services.iter().map(String::as_str).collect();
    let events: Vec<&str> = target.events.iter().map(|event| event.as_str()).collect();
    let mut entries = vec![hidden(target.kind.as_str(), address(target), Some(&target.url))];
    entries.extend(target.token.as_deref().map(|token| hidden("token", reference(token), Some(token))));
    let headers = target.headers.iter();
    entries.extend(headers.map(|(name, value)| hidden(&format!("headers.{name}"), REDACTED, Some(value))));
    entries.extend((!services.is_empty()).then(|| plain("services", list(&services))));
    entries.extend((!events.is_empty()).then(|| plain("events", list(&events))));
    entries.extend(target.hostnames.then(|| plain("hostnames", true)));
    entries.extend((target.interval != default.interval).then(|| plain("interval", format_duration(target.interval))));
    EffectiveSetting { key, ..map("", entries) }
}

/// Returns the URL of a target without its path, which may be a secret.
fn address(target: &NotifyTarget) -> String {
    match target.url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
            format!("{scheme}://{host}/{REDACTED}")
        }
        None => reference(&target.url),
    }
}

fn header(header: &ServerHeader) -> EffectiveSetting {
    hidden(&format!("headers.{}", header.name), REDACTED, Some(&header.value))
}

/// Returns a reference to a secret, or asterisks for anything else.
fn reference(text: &str) -> String {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let is_reference = name.is_some_and(|name| !name.contains(['$', '{', '}']));
    if is_reference { text.to_owned() } else { REDACTED.to_owned() }
}

const REDACTED: &str = "***";

fn page(page: &str) -> String {
    format!("(a page of {} bytes)", page.len())
}

fn policy_value(policy: &Policy) -> String {
    let Policy::Hash(on) = policy else { return policy.as_str().to_owned() };
    let on = match on {
        HashOn::Header(name) => format!("{{ header: {} }}", yaml_scalar(name)),
        HashOn::Cookie(name) => format!("{{ cookie: {} }}", yaml_scalar(name)),
        other => word(policy::HASH_ON, other).to_owned(),
    };
    format!("{{ hash: {on} }}")
}

fn failback_value(failback: Failback) -> String {
    match failback {
        Failback::After(time) => format!("{{ after: {} }}", format_duration(time)),
        other => word(failback::WORDS, &other).to_owned(),
    }
}

fn statuses(ranges: &StatusRanges) -> String {
    let range = |(first, last): &(u16, u16)| format_statuses(*first, *last);
    match &*ranges.0 {
        [only] => range(only),
        several => format!("[{}]", several.iter().map(range).collect::<Vec<_>>().join(", ")),
    }
}

fn or_false(value: Option<String>) -> String {
    value.unwrap_or_else(|| "false".to_owned())
}

/// Returns the word of a value in a table of words.
fn word<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, other)| other == value).map_or("?", |(word, _)| word)
}
