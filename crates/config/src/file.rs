//! The file: services by public address, and the settings that they share.

use tunnel_balancer_core::Service;
use tunnel_balancer_state::{HealthSharing, NotifyTarget};
use tunnel_balancer_status::StatusSettings;

use crate::diagnostic::Code;
use crate::fallback_loops;
use crate::host::{self, PublicHosts, public_address};
use crate::lint::{lint, lint_public};
use crate::node::{Value, backticked};
use crate::notify;
use crate::platform::Platform;
use crate::primitives::one_of;
use crate::reader::{Entry, Field, Setting};
use crate::report::Report;
use crate::server::{self, servers};
use crate::settings::{self, Settings, check_prefix};
use crate::status;
use crate::subrequests;
use crate::titles::UniqueTitles;
use crate::value_schema::{SettingDoc, ValueSchema, words};

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
    let required = vec![
        SettingDoc::required("services", services, SERVICES),
        SettingDoc {
            required: false,
            ..SettingDoc::required("defaults", defaults, ValueSchema::Map(|| Setting::docs(settings::KEYS)))
        },
    ];
    [required, Setting::docs(KEYS)].concat()
});

/// What a file sets.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// The valid services, in the order of the file.
    pub(crate) services: Vec<Service>,
    pub(crate) health_sharing: HealthSharing,
    pub(crate) notify: Vec<NotifyTarget>,
    pub(crate) status: Option<StatusSettings>,
}

/// The settings of the top level except `services` and `defaults`.
pub(crate) const KEYS: &[Setting<File>] = &[
    Setting::new(
        "health_sharing",
        "isolate",
        "Where the health of servers is shared, so that a new isolate of the Worker knows it at once. `isolate`: \
         nowhere. `colo`: in the cache of each data center. `kv`: in the KV namespace `HEALTH`. `durable_object`: in \
         the Durable Object `MONITOR`, which also probes all servers without traffic. `monitor`: pushed by \
         `tunnel-balancer monitor`.",
        ValueSchema::Enum(|| words(&HealthSharing::NAMES)),
        |file, field| field.set(&mut file.health_sharing, health_sharing),
    ),
    Setting::new(
        "notify",
        "false",
        "The targets that outages of servers and services are announced to, or that get heartbeats. `false`: none. \
         One target is a map, and several are a list of maps. The key of a target names its service, with its URL: \
         `ntfy: https://ntfy.sh/my-topic`, `discord: \"${DISCORD_WEBHOOK}\"`.",
        notify::SCHEMA,
        |file, field| file.notify = notify::targets(field),
    ),
    Setting::new(
        "status",
        "false",
        "The status page, the metrics and the badges, at a path of every public host. `false`: there are none.",
        status::SCHEMA,
        |file, field| file.status = status::status(field),
    ),
];

const SERVICES: ValueSchema = ValueSchema::MapOf { keys: host::ADDRESS, values: &SERVICE, may_be_empty: false };

const SERVICE: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Map(|| {
        let servers = "The servers in order of preference. A single one needs no list. The attempts and probes of one \
            request must not exceed 50 in total, the limit of Cloudflare's free plan.";
        [vec![SettingDoc::required("servers", servers, server::SCHEMA)], Setting::docs(settings::KEYS)].concat()
    }),
    server::SCHEMA,
]);

/// Reads a file, and reports every error.
pub(crate) fn file(root: Field<'_>) -> File {
    let mut file = File::default();
    if let Value::Null = root.value() {
        root.report(Report::new(Code::MissingKey, "the file is empty").hint(MINIMAL_EXAMPLE));
        return file;
    }
    let Some(mut map) = root.map("a map with the key `services`") else { return file };
    let services = map.required("services", MINIMAL_EXAMPLE);
    let defaults = map.optional("defaults");
    map.read_into(&mut file, KEYS);
    match services {
        Some(services) => {
            let titles = UniqueTitles::new(root.get("status").is_some_and(status::is_enabled));
            file.services = services_with(services, defaults, titles);
        }
        None => drop(settings(defaults)),
    }
    if let Some(targets) = root.get("notify") {
        notify::check_services(targets, services, &file.services);
        notify::check_sharing(targets, file.health_sharing);
    }
    if let (Some(field), Some(settings)) = (root.get("status"), &file.status) {
        status::check(field, settings, file.health_sharing, &file.services);
    }
    file
}

/// Returns the services of the map `services`, with the settings of `defaults`.
pub(crate) fn services(services: Field<'_>, defaults: Option<Field<'_>>) -> Vec<Service> {
    services_with(services, defaults, UniqueTitles::new(false))
}

fn services_with(services: Field<'_>, defaults: Option<Field<'_>>, mut titles: UniqueTitles) -> Vec<Service> {
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
    // Their values are not services.
    let services = named.into_iter().filter(|(address, entry)| !(address.is_empty() && is_setting(entry.name)));
    let services: Vec<(Service, Field<'_>)> =
        services.filter_map(|(address, entry)| Some((service(address, entry.value, &common)?, entry.value))).collect();
    services.iter().for_each(|(service, field)| titles.add(service, *field));
    fallback_loops::check(&services, &common.public);
    services.into_iter().map(|(service, _)| service).collect()
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

fn is_setting(name: &str) -> bool {
    name == "defaults" || settings::KEYS.iter().any(|key| key.name() == name)
}

/// Checks whether the key of a service is a setting in the wrong place.
fn check_no_setting(name: &str) -> Result<(), Report> {
    if !is_setting(name) {
        return Ok(());
    }
    let place = if name == "defaults" { "the top level" } else { "a service or `defaults`" };
    let name = backticked(name);
    let report = Report::new(Code::InvalidHost, format!("{name} is a setting, not a hostname"));
    Err(report.hint(format!("move {name} to {place}")))
}

fn address(entry: &Entry<'_>, public: &mut PublicHosts) -> Option<String> {
    let address = entry.key.read(|_| {
        check_no_setting(entry.name)?;
        public_address(entry.name, entry.key)
    })?;
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
    lint(&service, field, list, common.defaults);
    Some(service)
}

fn health_sharing(value: &Value<'_>) -> Result<HealthSharing, Report> {
    one_of(value, "value", "`isolate`, `colo`, `kv`, `durable_object` or `monitor`", &HealthSharing::NAMES)
}
