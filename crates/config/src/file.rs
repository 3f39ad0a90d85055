//! The file: services by public address, and the settings that they share.

use tunnel_balancer_core::Service;

use crate::diagnostic::Code;
use crate::host::{self, PublicHosts, public_address};
use crate::lint::{lint, lint_public};
use crate::node::{Value, backticked};
use crate::platform::Platform;
use crate::reader::{Entry, Field, Setting};
use crate::report::Report;
use crate::server::{self, servers};
use crate::settings::{self, Settings, check_fallback, check_prefix};
use crate::subrequests;
use crate::value_schema::{SettingDoc, ValueSchema};

const MINIMAL_EXAMPLE: &str = "write at least `services: { chat.example.com: chat-a.example.com }`";

/// The top level of a file.
#[cfg_attr(not(feature = "schema"), expect(dead_code, reason = "for the schema and the reference"))]
pub(crate) const SCHEMA: ValueSchema = ValueSchema::Map(|| {
    let services = "The services by public address. An address is a public hostname, with the port unless it is 80 or \
        443. `\"*.example.com\"` stands for any first label, and `\"*\"` for all hosts that no other service has; the \
        most specific service is used. With a path, as in `chat.example.com/api`, the service gets requests whose \
        path starts with it; the longest match is used.";
    let defaults = "Settings for all services that do not set them: all keys of a service except `servers`. Maps are \
        merged key by key.";
    vec![
        SettingDoc::required("services", services, SERVICES),
        SettingDoc {
            required: false,
            ..SettingDoc::required("defaults", defaults, ValueSchema::Map(|| Setting::docs(settings::KEYS)))
        },
    ]
});

const SERVICES: ValueSchema = ValueSchema::MapOf { keys: host::ADDRESS, values: &SERVICE, may_be_empty: false };

const SERVICE: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Map(|| {
        let servers = "The servers in order of preference. A single one needs no list. The attempts and probes of one \
            request must not exceed 50 in total, the limit of Cloudflare's free plan.";
        [vec![SettingDoc::required("servers", servers, server::SCHEMA)], Setting::docs(settings::KEYS)].concat()
    }),
    server::SCHEMA,
]);

/// Returns the valid services of a file in order, and reports the others.
pub(crate) fn services(root: Field<'_>) -> Vec<Service> {
    if let Value::Null = root.value() {
        root.report(Report::new(Code::MissingKey, "the file is empty").hint(MINIMAL_EXAMPLE));
        return Vec::new();
    }
    let Some(mut map) = root.map("a map with the key `services`") else { return Vec::new() };
    let services = map.required("services", MINIMAL_EXAMPLE);
    let defaults = map.optional("defaults");
    map.deny_unknown();
    services.map(|services| named(services, defaults)).unwrap_or_else(|| {
        settings(defaults);
        Vec::new()
    })
}

/// Returns the services of the map `services`, with the settings of `defaults`.
pub(crate) fn named(services: Field<'_>, defaults: Option<Field<'_>>) -> Vec<Service> {
    let Some(settings) = settings(defaults) else { return Vec::new() };
    let mut common = Common { settings, defaults, public: PublicHosts::default() };
    let is_empty = match services.value() {
        Value::Map(entries) => entries.is_empty(),
        other => matches!(other, Value::Null),
    };
    if is_empty {
        services.report(Report::new(Code::MissingKey, "`services` is empty").hint(MINIMAL_EXAMPLE));
        return Vec::new();
    }
    let Some(services) = services.map("a map of public hosts to servers") else { return Vec::new() };
    let entries = services.into_entries();
    // All addresses first: a server may be the host of a later service.
    let mut named = |entry| (address(&entry, &mut common.public).unwrap_or_default(), entry);
    let named: Vec<(String, Entry<'_>)> = entries.into_iter().map(&mut named).collect();
    let is_setting = |name: &str| name == "defaults" || settings::KEYS.iter().any(|key| key.name() == name);
    // Their values are not services.
    let services = named.into_iter().filter(|(address, entry)| !(address.is_empty() && is_setting(entry.name)));
    services.filter_map(|(address, entry)| service(address, entry.value, &common)).collect()
}

/// What the services of a file have in common.
struct Common<'a> {
    /// The settings of `defaults`.
    settings: Settings,
    /// The map `defaults`.
    defaults: Option<Field<'a>>,
    public: PublicHosts,
}

fn settings(defaults: Option<Field<'_>>) -> Option<Settings> {
    let mut settings = Settings::new()?;
    if let Some(map) = defaults.and_then(|defaults| defaults.map("a map of settings")) {
        settings.read(map);
    }
    Some(settings)
}

fn address(entry: &Entry<'_>, public: &mut PublicHosts) -> Option<String> {
    let address = entry.key.read(|_| public_address(entry.name))?;
    if let Some(first) = public.address(&address) {
        let what = if address.contains('/') { "address" } else { "host" };
        let report = Report::new(Code::DuplicateHost, format!("duplicate {what} {}", backticked(&address)));
        entry.key.report(
            report
                .related(first, "first defined here")
                .hint("remove one of them: case, a final dot and the ports 80 and 443 are ignored"),
        );
        return None;
    }
    lint_public(&address, entry.key);
    public.insert(address.clone(), entry.key.node().id);
    Some(address)
}

fn service(address: String, field: Field<'_>, common: &Common<'_>) -> Option<Service> {
    let mut settings = common.settings.clone();
    let list = match field.value() {
        Value::Map(_) => {
            let mut map = field.map("a service")?;
            let list = map.required("servers", "write `servers: [chat-a.example.com]`");
            settings.read(map);
            list?
        }
        Value::String(_) | Value::List(_) => field,
        other => {
            let report = Report::wrong_type("a server, a list of servers, or a map with the key `servers`", other);
            field.report(report.hint("write the hostname of its tunnel: `chat-a.example.com`"));
            return None;
        }
    };
    let servers = servers(list, &common.public, &settings);
    if servers.is_empty() {
        // Reported already.
        return None;
    }
    let service = settings.service(address, servers);
    let service = service.map_err(|error| list.report(Report::new(Code::InvalidServers, error.to_string()))).ok()?;
    if field.may_run_on(Platform::Worker)
        && let Err(report) = subrequests::check(&service)
        && field.is_valid()
    {
        list.report(report);
    }
    if let Err(report) = check_prefix(&service) {
        field.get("strip_prefix").unwrap_or(field).report(report);
    }
    if let Err(report) = check_fallback(&service, &common.public) {
        field.get("fallback").unwrap_or(field).report(report);
    }
    lint(&service, field, list, common.defaults);
    Some(service)
}
