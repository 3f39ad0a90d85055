//! The servers of one service: a hostname, or a list of hostnames and maps.

use tunnel_balancer_core::{Conflict, HostHeader, Server, ServerHealthCheck, ServerSet, ServiceError, limits};

use crate::diagnostic::Code;
use crate::headers::{self, server_headers};
use crate::health_check::{self, PartialHealthCheck, health_check};
use crate::host::{HOST, PublicHosts, host_name};
use crate::node::{NodeId, Value, backticked, quoted};
use crate::primitives::{boolean, number, or_disabled, quotable_string, string};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::server_url::{ADDRESS, server_url};
use crate::settings::Settings;
use crate::tls;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

/// A server while it is read.
pub(crate) struct ServerSettings {
    server: Server,
    /// The health check of the service, and the settings that the server changes.
    health_check: Option<PartialHealthCheck>,
}

/// The settings of a server except `url`.
pub(crate) const KEYS: &[Setting<ServerSettings>] = &[
    Setting::new(
        "name",
        "",
        "The name in `X-Served-By` and in logs. Default: the first label of the hostname, such as `chat-b` of \
         `chat-b.example.com`.",
        ValueSchema::String(NAME),
        |settings, field| field.set(&mut settings.server.name, name),
    ),
    Setting::new(
        "weight",
        "1",
        "The share of the traffic, relative to the other servers. `0`: no new traffic. Not used by the policy \
         `failover`.",
        ValueSchema::Number(limits::WEIGHT),
        |settings, field| field.set(&mut settings.server.weight, |value| number(value, limits::WEIGHT)),
    ),
    Setting::new(
        "backup",
        "false",
        "Whether it is used only while no other server is available.",
        ValueSchema::Boolean,
        |settings, field| {
            field.set(&mut settings.server.backup, boolean);
        },
    ),
    Setting::new(
        "drain",
        "false",
        "Whether it keeps the clients that `affinity` assigned to it and gets no new ones, before maintenance.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.server.drain, boolean),
    ),
    Setting::new("enabled", "true", "Whether it is used and probed.", ValueSchema::Boolean, |settings, field| {
        field.set(&mut settings.server.enabled, boolean);
    }),
    Setting::new(
        "max_requests",
        "false",
        "The largest number of requests in flight from one isolate. Further ones go to other servers. `false`: no \
         limit.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Number(limits::MAX_REQUESTS)]),
        |settings, field| {
            field.set(&mut settings.server.max_requests, |value| {
                or_disabled(value, |value| number(value, limits::MAX_REQUESTS))
            });
        },
    ),
    Setting::new(
        "host_header",
        "server",
        "The `Host` of requests. `server`: the host of the URL. `public`: the host that the client requested, as for \
         signatures of S3, which include it. Any other value is sent as it is. Other values than `server` need \
         HTTP/1.1, and the Worker does not support them: there, cloudflared's `httpHostHeader` sets the host.",
        ValueSchema::String(StringSchema { what: "`server`, `public` or a hostname", ..HOST }),
        |settings, field| host_header(&mut settings.server.host_header, field),
    ),
    Setting::new(
        "tls",
        "",
        "How the certificate of an `https` server is verified. Not supported by the Worker.",
        tls::SCHEMA,
        |settings, field| tls::server_tls(&mut settings.server.tls, field),
    ),
    Setting::new(
        "headers",
        "{}",
        "Headers that are added to requests and probes to this server only. `${NAME}` anywhere in a value refers to a \
         secret. A client's own copies are removed. Example: `{ CF-Access-Client-Id: \"${ACCESS_ID}\", \
         CF-Access-Client-Secret: \"${ACCESS_SECRET}\" }`.",
        headers::SCHEMA,
        |settings, field| server_headers(&mut settings.server.headers, field, Some("`host_header` of the server")),
    ),
    Setting::new(
        "health_check",
        "true",
        "How this server is probed. A map is merged over the health check of the service. `false`: not at all. \
         `true`: as the service sets.",
        health_check::SCHEMA,
        |settings, field| health_check(&mut settings.health_check, field),
    ),
];

/// The forms of the servers of a service.
pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "servers",
    &ValueSchema::OneOf(&[ValueSchema::String(ADDRESS), ValueSchema::List(&SERVER, ServerSet::CAPACITY)]),
);

const SERVER: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Map(|| {
        let url = "The hostname, `host:port` or URL. The default scheme is `https`. A path precedes the path of each \
            request, and is removed from `Location`, `Refresh`, `Link` and the paths of cookies.";
        [vec![SettingDoc::required("url", url, ValueSchema::String(ADDRESS))], Setting::docs(KEYS)].concat()
    }),
    ValueSchema::String(ADDRESS),
]);

const NAME: StringSchema =
    StringSchema { what: "a name", pattern: r"^[!#-&(-+\--:<-\[\]-_a-~]+$", longest: Some(MAX_NAME) };

const MAX_NAME: usize = *limits::SERVER_NAME.end();

/// Returns the valid servers in order, and reports the others. `service` has the health check that
/// servers can change.
pub(crate) fn servers(field: Field<'_>, public: &PublicHosts, service: &Settings) -> Vec<Server> {
    if let Err(report) = check_form(field) {
        field.report(report);
        return Vec::new();
    }
    let mut names = UniqueNames::default();
    let read = |item| server(item, public, service, &mut names);
    let items = field.one_or_many();
    let count = items.len();
    let servers: Vec<(Server, bool)> = items.into_iter().filter_map(read).collect();
    if servers.len() == count
        && !service.is_in_maintenance()
        && let Err(report) = check_rotation(&servers)
    {
        field.report(report);
    }
    servers.into_iter().filter(|(_, is_valid)| *is_valid).map(|(server, _)| server).collect()
}

fn check_form(field: Field<'_>) -> Result<(), Report> {
    const EXPECTED: &str = "a hostname, or a list of servers";
    match field.value() {
        Value::String(_) => Ok(()),
        Value::List(items) if items.len() > ServerSet::CAPACITY => {
            Err(Report::new(Code::InvalidServers, ServiceError::ServerCount(items.len()).to_string()))
        }
        Value::List(items) if !items.is_empty() => Ok(()),
        Value::List(_) => Err(Report::new(Code::InvalidServers, "a service needs at least one server")
            .hint("write the hostname of the tunnel: `[chat-a.example.com]`")),
        map @ Value::Map(_) => {
            let hint = if field.get("url").is_some() {
                "write a list of servers: `[{ url: chat-a.example.com }]`"
            } else {
                "write a list of servers: `[{ url: chat-a.example.com, name: a }]`"
            };
            Err(Report::wrong_type(EXPECTED, map).hint(hint))
        }
        other => Err(Report::wrong_type(EXPECTED, other)),
    }
}

/// Reads a server, and returns whether its address is valid. Its settings are read in any case.
fn server(
    field: Field<'_>,
    public: &PublicHosts,
    service: &Settings,
    names: &mut UniqueNames,
) -> Option<(Server, bool)> {
    let mut map = match field.value() {
        Value::Map(_) => Some(field.map("a server")?),
        Value::String(_) => None,
        other => {
            let report = Report::wrong_type("a hostname, or a map with the key `url`", other);
            field.report(match other {
                Value::List(_) => report.hint("remove the inner brackets, or the inner `- `"),
                Value::Integer(port) => report.hint(format!("write the host, too: `chat-a.example.com:{port}`")),
                _ => report,
            });
            return None;
        }
    };
    let address = match &mut map {
        Some(map) => map.required("url", "write `url: chat-a.example.com`"),
        None => Some(field),
    };
    let named = map.as_ref().and_then(|map| map.present(&["name"]).first());
    let url = address.and_then(|address| server_url(address, public));
    let is_valid = url.is_some();
    let server = Server::new(url.or_else(|| "server.invalid".parse().ok())?);
    let mut settings = ServerSettings { server, health_check: service.health_check().clone() };
    if let Some(map) = map {
        map.read_into(&mut settings, KEYS);
    }
    let ServerSettings { mut server, health_check } = settings;
    server.health_check = own_health_check(health_check, service);
    if let Some(address) = address.filter(|_| is_valid) {
        names.add(&server, address, named);
    }
    Some((server, is_valid))
}

fn own_health_check(check: Option<PartialHealthCheck>, service: &Settings) -> ServerHealthCheck {
    let complete = |check: Option<PartialHealthCheck>| check.map(PartialHealthCheck::complete);
    let (own, inherited) = (complete(check), complete(service.health_check().clone()));
    match own {
        own if own == inherited => ServerHealthCheck::Inherit,
        None => ServerHealthCheck::Disabled,
        Some(own) => ServerHealthCheck::Custom(Box::new(own)),
    }
}

/// The servers of a service so far, which are few.
#[derive(Default)]
struct UniqueNames(Vec<UniqueName>);

struct UniqueName {
    server: Server,
    /// The node of the address.
    address: NodeId,
    /// The node of the name, if it was set explicitly.
    named: Option<NodeId>,
}

impl UniqueNames {
    fn add(&mut self, server: &Server, address: Field<'_>, named: Option<Field<'_>>) {
        if let Some(other) = self.0.iter().find(|other| other.server.has_same_target(server)) {
            let url = backticked(&server.url.to_string());
            let report = Report::new(Code::InvalidServers, format!("duplicate server {url}"));
            let hint = "remove one of them: to change its share of the traffic, set `weight`";
            return address.report(report.related(other.address, "first listed here").hint(hint));
        }
        let at = named.unwrap_or(address);
        if let Some(other) = self.0.iter().find(|other| other.server.name == server.name) {
            let message = format!("two servers have the name {}", backticked(&server.name));
            let hint = if named.is_some() && other.named.is_some() {
                "rename one of them: the header `X-Served-By` and logs identify servers by name"
            } else {
                "set the `name` of one of them: the default is the first label of the hostname"
            };
            let other = other.named.unwrap_or(other.address);
            at.report(Report::new(Code::DuplicateName, message).related(other, "first used here").hint(hint));
        }
        let named = named.map(|named| named.node().id);
        self.0.push(UniqueName { server: server.clone(), address: address.node().id, named });
    }
}

const HOST_HEADERS: &[(&str, HostHeader)] = &[("server", HostHeader::Server), ("public", HostHeader::Public)];

fn host_header(target: &mut HostHeader, field: Field<'_>) {
    field.set(target, |value| {
        let word = string(value, "`server`, `public` or a hostname")?;
        match HOST_HEADERS.iter().find(|(name, _)| *name == word) {
            Some((_, host_header)) => Ok(host_header.clone()),
            None => host_name(value).map(HostHeader::Name),
        }
    });
    if *target != HostHeader::Server {
        let hint = "remove it, and set `httpHostHeader` in the rule of the tunnel: `tunnel-balancer generate \
            cloudflared --host-header` writes it";
        field.deny_on_worker("host_header", hint);
    }
}

fn name(value: &Value<'_>) -> Result<String, Report> {
    let name = quotable_string(value, "a name")?;
    if Server::is_name(name) {
        return Ok(name.to_owned());
    }
    let report = Report::new(Code::InvalidValue, format!("{} cannot be the name of a server", quoted(name)));
    let hint = format!(
        "use 1 to {MAX_NAME} visible ASCII characters except commas, semicolons and quotes: it is sent in a header"
    );
    Err(report.hint(hint))
}

/// Checks whether a service can serve new clients. Invalid settings count as defaults.
fn check_rotation(servers: &[(Server, bool)]) -> Result<(), Report> {
    let Some(conflict) = Server::rotation_conflict(servers.iter().map(|(server, _)| server)) else { return Ok(()) };
    let hint = match conflict {
        Conflict::AllDisabled => "enable a server, set `maintenance: true`, or remove the service",
        Conflict::AllDraining => "a draining server gets no new clients: remove `drain` from one server",
        Conflict::NoWeight => "a server of weight 0 gets no new traffic: set the `weight` of one server to 1 or more",
        _ => "a backup is used only while no other server is available: remove `backup` from one server",
    };
    Err(Report::new(Code::InvalidServers, conflict.to_string()).hint(hint))
}
