//! The whole file: services by their public hosts, and what they have in common.

use tunnel_balancer_core::Service;

use crate::diagnostic::Code;
use crate::host::{self, PublicHosts, public_address};
use crate::node::{Value, backticked};
use crate::reader::{Entry, Field, Setting};
use crate::report::Report;
use crate::server::{self, servers};
use crate::settings::{self, Settings};
use crate::value_schema::{SettingDoc, ValueSchema};
use crate::{subrequests, warnings};

const MINIMAL_EXAMPLE: &str = "write at least `services: { chat.example.com: chat-a.example.com }`";

/// What a file is.
#[cfg_attr(not(feature = "schema"), expect(dead_code, reason = "for the schema and the reference"))]
pub(crate) const SCHEMA: ValueSchema = ValueSchema::Map(|| {
    let services = "What the balancer does: the services by their public addresses. An address is the public hostname; a port belongs to \
                    it only where it is neither 80 nor 443. With a path, as in `chat.example.com/api`, a service has the \
                    paths that begin with it; the longest decides, and servers get the whole path.";
    let defaults = "Settings for every service that does not write them itself: all keys of a service but `servers`. Maps are merged key by key.";
    vec![
        SettingDoc::required("services", services, SERVICES),
        SettingDoc::new("defaults", defaults, ValueSchema::Map(|| Setting::docs(settings::KEYS))),
    ]
});

const SERVICES: ValueSchema = ValueSchema::MapOf { keys: host::ADDRESS, values: &SERVICE, may_be_empty: false };

const SERVICE: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Map(|| {
        let servers = "The servers, tried in this order; one alone needs no list. Attempts and probes for one request must not be more \
                       than 50 in all, which is what Cloudflare allows.";
        [vec![SettingDoc::required("servers", servers, server::SCHEMA)], Setting::docs(settings::KEYS)].concat()
    }),
    server::SCHEMA,
]);

/// The services of a file, in its order. What is wrong with it is reported and left out.
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

/// The services that stand under `services`, with what they have in common.
pub(crate) fn named(services: Field<'_>, defaults: Option<Field<'_>>) -> Vec<Service> {
    let settings = settings(defaults);
    let is_empty = match services.value() {
        Value::Map(entries) => entries.is_empty(),
        other => matches!(other, Value::Null),
    };
    if is_empty {
        services.report(Report::new(Code::MissingKey, "there is no service").hint(MINIMAL_EXAMPLE));
        return Vec::new();
    }
    let Some(services) = services.map("a map from public hosts to servers") else { return Vec::new() };
    let entries = services.into_entries();
    // All addresses first: a server may be the host of a service that comes later.
    let mut public = PublicHosts::default();
    let named: Vec<(String, Entry<'_>)> =
        entries.into_iter().map(|entry| (address(&entry, &mut public).unwrap_or_default(), entry)).collect();
    named.into_iter().filter_map(|(address, entry)| service(address, entry.value, &settings, &public)).collect()
}

fn settings(defaults: Option<Field<'_>>) -> Settings {
    let mut settings = Settings::default();
    if let Some(map) = defaults.and_then(|defaults| defaults.map("a map of settings")) {
        settings.read(map);
    }
    settings
}

fn address(entry: &Entry<'_>, public: &mut PublicHosts) -> Option<String> {
    let address = entry.key.read(|_| public_address(entry.name))?;
    if let Some(first) = public.address(&address) {
        let what = if address.contains('/') { "address" } else { "host" };
        let report = Report::new(Code::DuplicateHost, format!("the {what} {} is written twice", backticked(&address)));
        entry.key.report(
            report.related(first).hint("capital letters, a final dot and the ports 80 and 443 make no difference"),
        );
        return None;
    }
    public.insert(address.clone(), entry.key.node().id);
    Some(address)
}

fn service(address: String, field: Field<'_>, defaults: &Settings, public: &PublicHosts) -> Option<Service> {
    let mut settings = defaults.clone();
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
            field.report(report.hint("write the hostname of its tunnel, as in `chat-a.example.com`"));
            return None;
        }
    };
    let servers = servers(list, public);
    if servers.is_empty() {
        // Said already, with the reason.
        return None;
    }
    let service = settings.service(address, servers);
    let service = service.map_err(|error| list.report(Report::new(Code::InvalidServers, error.to_string()))).ok()?;
    if let Err(report) = subrequests::check(&service)
        && field.is_valid()
    {
        list.report(report);
    }
    warnings::lint(&service, field, list);
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_file_of_all_settings() {
        fn names<T>(keys: &[Setting<T>]) -> impl Iterator<Item = &'static str> {
            keys.iter().map(Setting::name)
        }
        let text = include_str!("../../../examples/all-settings.yaml");
        let has = |indentation: usize, name: &str| {
            text.lines().any(|line| {
                let key = line.get(indentation..).and_then(|key| key.strip_prefix(name));
                line.trim_start().len() + indentation == line.len() && key.is_some_and(|rest| rest.starts_with(':'))
            })
        };
        let tables = [
            (4, names(settings::KEYS).collect::<Vec<_>>()),
            (6, names(crate::health_check::KEYS).chain(names(crate::retry::KEYS)).collect()),
            (6, names(crate::ejection::KEYS).collect()),
            (8, names(crate::retry::BUDGET_KEYS).chain(names(server::KEYS)).collect()),
        ];
        for (indentation, names) in tables {
            for name in names {
                assert!(has(indentation, name), "{name} is missing");
            }
        }
    }
}
