//! The servers of one service: a hostname, or a list of hostnames and maps.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tunnel_balancer_core::host::normalize_host;
use tunnel_balancer_core::{Server, ServerHeader, ServerSet, ServerUrl, ServerUrlError};

use crate::diagnostic::Code;
use crate::headers::{self, server_headers};
use crate::host::{PublicHosts, is_well_formed};
use crate::node::{NodeId, Value, backticked, quoted};
use crate::reader::{Field, Setting, boolean, number, or_off, quotable_string, string};
use crate::report::Report;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

/// What is written about a server beside its address. The defaults are the core's.
pub(crate) struct ServerSettings {
    name: Option<String>,
    weight: u32,
    backup: bool,
    drain: bool,
    enabled: bool,
    max_requests: Option<u32>,
    headers: Vec<ServerHeader>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1,
            backup: false,
            drain: false,
            enabled: true,
            max_requests: None,
            headers: Vec::new(),
        }
    }
}

/// Every key of a server but `url`, without which there is none.
pub(crate) const KEYS: &[Setting<ServerSettings>] = &[
    Setting::new(
        "name",
        "What it is called in `X-Served-By` and in logs. Default: the first label of its hostname, as `chat-b` of \
         `chat-b.example.com`.",
        ValueSchema::String(NAME),
        |settings, field| field.set(&mut settings.name, |value| name(value).map(Some)),
    ),
    Setting::new(
        "weight",
        "Its share of the traffic, relative to the others'. `0`: no new traffic. `failover` has no shares.",
        ValueSchema::Number(WEIGHT),
        |settings, field| field.set(&mut settings.weight, |value| number(value, WEIGHT)),
    ),
    Setting::new(
        "backup",
        "Whether it is used only while no other server is usable.",
        ValueSchema::Boolean,
        |settings, field| {
            field.set(&mut settings.backup, boolean);
        },
    ),
    Setting::new(
        "drain",
        "Whether it only keeps the clients that `affinity` gave it, to take it down later without anybody noticing.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.drain, boolean),
    ),
    Setting::new("enabled", "Whether it is used and probed at all.", ValueSchema::Boolean, |settings, field| {
        field.set(&mut settings.enabled, boolean);
    }),
    Setting::new(
        "max_requests",
        "The most requests that one isolate sends to it at a time; more go to other servers. `false`: no limit.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Number(MAX_REQUESTS)]),
        |settings, field| {
            field.set(&mut settings.max_requests, |value| or_off(value, |value| number(value, MAX_REQUESTS)));
        },
    ),
    Setting::new(
        "headers",
        "Headers that requests and probes to this server carry besides, and no other server sees; `${NAME}` anywhere in a \
         value stands for a secret. A visitor's own copies reach no server. \
         For example `{ CF-Access-Client-Id: \"${ACCESS_ID}\", CF-Access-Client-Secret: \"${ACCESS_SECRET}\" }`.",
        headers::SCHEMA,
        |settings, field| server_headers(&mut settings.headers, field),
    ),
];

/// What can be written as the servers of a service.
pub(crate) const SCHEMA: ValueSchema =
    ValueSchema::Shared("servers", &ValueSchema::OneOf(&[ADDRESS, ValueSchema::List(&SERVER, ServerSet::CAPACITY)]));

const SERVER: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Map(|| {
        let url = "A hostname, `host:port` or URL; `https` unless it says `http://`. A path comes before that of each request.";
        [vec![SettingDoc::required("url", url, ADDRESS)], Setting::docs(KEYS)].concat()
    }),
    ADDRESS,
]);

const ADDRESS: ValueSchema = ValueSchema::String(StringSchema {
    what: "a hostname or URL",
    pattern: r"^([Hh][Tt][Tt][Pp][Ss]?://+)?(\[[^\s\]]*\]|[^\s\\/?#@*:\[\]]+)(:[0-9]+)?(/[^\s\\?#]*)?$",
    longest: None,
});

const NAME: StringSchema =
    StringSchema { what: "a name", pattern: r"^[!#-&(-+\--:<-\[\]-_a-~]+$", longest: Some(MAX_NAME) };

const WEIGHT: RangeInclusive<u32> = 0..=1000;
const MAX_REQUESTS: RangeInclusive<u32> = 1..=100_000;
/// Longer names would fill a line of a log.
const MAX_NAME: usize = 64;

/// The servers in the order they are written. What is wrong with them is reported and left out.
pub(crate) fn servers(field: Field<'_>, public: &PublicHosts) -> Vec<Server> {
    const EXPECTED: &str = "a hostname, or a list of servers";
    let report = match field.value() {
        Value::String(_) => None,
        Value::List(items) if !items.is_empty() => None,
        Value::List(_) => Some(
            Report::new(Code::InvalidServers, "a service needs at least one server")
                .hint("write the hostname of its tunnel, as in `[chat-a.example.com]`"),
        ),
        map @ Value::Map(_) => {
            Some(Report::wrong_type(EXPECTED, map).hint("make it an item of a list: put `- ` in front"))
        }
        other => Some(Report::wrong_type(EXPECTED, other)),
    };
    if let Some(report) = report {
        field.report(report);
        return Vec::new();
    }
    let mut seen = UniqueNames::default();
    let read = |item| {
        let mut settings = ServerSettings::default();
        (server(item, &mut settings, public, &mut seen), settings)
    };
    let (servers, all_settings): (Vec<Option<Server>>, Vec<ServerSettings>) =
        field.one_or_many().into_iter().map(read).unzip();
    if let Err(report) = check_rotation(&all_settings) {
        field.report(report);
    }
    servers.into_iter().flatten().collect()
}

/// One server; what is written about it goes into `draft` even where its address is wrong.
fn server(
    field: Field<'_>,
    settings: &mut ServerSettings,
    public: &PublicHosts,
    seen: &mut UniqueNames,
) -> Option<Server> {
    let (address, named) = match field.value() {
        Value::Map(_) => {
            let mut map = field.map("a server")?;
            let (address, named) =
                (map.required("url", "write `url: chat-a.example.com`"), map.present(&["name"]).first());
            map.read_into(settings, KEYS);
            (address?, named)
        }
        Value::String(_) => (field, None),
        other => {
            field.report(Report::wrong_type("a hostname, or a map with the key `url`", other));
            return None;
        }
    };
    let mut server = Server::new(address.read(|value| url(value, public))?);
    server.name = settings.name.take().unwrap_or(server.name);
    server.weight = settings.weight;
    server.backup = settings.backup;
    server.drain = settings.drain;
    server.enabled = settings.enabled;
    server.max_requests = settings.max_requests;
    server.headers = std::mem::take(&mut settings.headers);
    seen.add(&server, address, named);
    Some(server)
}

/// The servers of this service so far, by what must be unique, and where that is written.
#[derive(Default)]
struct UniqueNames {
    urls: BTreeMap<String, NodeId>,
    names: BTreeMap<String, (NodeId, bool)>,
}

impl UniqueNames {
    fn add(&mut self, server: &Server, address: Field<'_>, named: Option<Field<'_>>) {
        let url = server.url.to_string();
        if let Some(other) = self.urls.get(&url) {
            let report = Report::new(Code::InvalidServers, format!("the server {} is listed twice", backticked(&url)));
            let hint = "remove one: a server is not tried more often by being listed more often";
            return address.report(report.related(*other).hint(hint));
        }
        self.urls.insert(url, address.node().id);
        let at = named.unwrap_or(address);
        if let Some((other, other_named)) = self.names.get(&server.name) {
            let message = format!("two servers have the name {}", backticked(&server.name));
            let hint = if named.is_some() && *other_named {
                "`X-Served-By` and logs tell servers apart by name: change one"
            } else {
                "a server is named after the first label of its hostname: give one of them a `name`"
            };
            return at.report(Report::new(Code::DuplicateName, message).related(*other).hint(hint));
        }
        self.names.insert(server.name.clone(), (at.node().id, named.is_some()));
    }
}

fn url(value: &Value<'_>, public: &PublicHosts) -> Result<ServerUrl, Report> {
    let text = string(value, "a hostname or URL")?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        let report = Report::new(Code::InvalidUrl, "not a hostname or URL");
        return Err(report.hint("spaces and backslashes cannot be a part of it; each server is an item of its own"));
    }
    // Read as `host:port/path`, `https:/chat-a.example.com` would be a server called `https`.
    if !text.contains("://") && text.contains(":/") {
        return Err(Report::new(Code::InvalidUrl, "not a hostname or URL").hint(URL_HINT));
    }
    let url: ServerUrl = text.parse().map_err(|error| wrong_url(&error))?;
    let Some(host) = normalize_host(url.authority()).filter(|host| is_well_formed(host)) else {
        let wildcard = "a server has one full hostname: wildcards are not supported";
        let report = Report::new(Code::InvalidUrl, format!("{} is not a hostname", backticked(url.authority())));
        return Err(report.hint(if text.contains('*') { wildcard } else { URL_HINT }));
    };
    if let Some(written) = public.host(&host) {
        let report = Report::new(Code::Loop, format!("the server {} is a public host of this file", backticked(&host)));
        let hint = "its requests would come back here for ever: give the tunnel a hostname of its own";
        return Err(report.related(written).hint(hint));
    }
    Ok(url)
}

const URL_HINT: &str = "write `chat-a.example.com`, `chat-a.example.com:8443` or `http://127.0.0.1:8080`";

/// Says what to do about it. The text itself is not repeated where it may hold a password.
fn wrong_url(error: &ServerUrlError) -> Report {
    let hint = match error {
        ServerUrlError::Scheme(_) => "a server is reached over `https` or `http`",
        ServerUrlError::Credentials => "remove what stands before the `@`",
        ServerUrlError::Query => "remove the `?` and what follows: each request brings a query of its own",
        ServerUrlError::Fragment => "remove the `#` and what follows: it is never sent",
        _ => URL_HINT,
    };
    Report::new(Code::InvalidUrl, error.to_string()).hint(hint)
}

fn name(value: &Value<'_>) -> Result<String, Report> {
    let name = quotable_string(value, "a name")?;
    let is_plain = |b: u8| b.is_ascii_graphic() && !b",;\"'`\\".contains(&b);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name.to_owned());
    }
    let report = Report::new(Code::InvalidValue, format!("{} cannot be the name of a server", quoted(name)));
    let hint = format!(
        "1 to {MAX_NAME} visible ASCII characters without commas, semicolons and quotes: it is sent as a header"
    );
    Err(report.hint(hint))
}

/// Checks whether a service can serve new clients. Invalid settings count as their defaults.
fn check_rotation(servers: &[ServerSettings]) -> Result<(), Report> {
    let report = |message, hint: &str| Err(Report::new(Code::InvalidServers, message).hint(hint));
    let enabled = || servers.iter().filter(|server| server.enabled);
    let mut accepting = enabled().filter(|server| !server.drain).peekable();
    if enabled().next().is_none() {
        return report("no server is enabled", "enable a server, or remove the service");
    }
    if accepting.peek().is_none() {
        let hint = "a draining server gets no new clients: remove `drain` from one server";
        return report("every enabled server has `drain: true`", hint);
    }
    if accepting.all(|server| server.weight == 0) {
        let hint = "a server of weight 0 gets no new traffic: set the `weight` of one server to 1 or more";
        return report("every server that accepts new clients has `weight: 0`", hint);
    }
    // Disabled and draining servers count: then backups serve alone for a while.
    if servers.iter().all(|server| server.backup) {
        let hint = "a backup is used only while no other server is available: remove `backup` from one server";
        return report("every server has `backup: true`", hint);
    }
    Ok(())
}
