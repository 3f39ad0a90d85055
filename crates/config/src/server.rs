//! The servers of one service: a hostname, or a list of hostnames and maps.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tunnel_balancer_core::host::normalize_host;
use tunnel_balancer_core::{Server, ServerHeader, ServerSet, ServerUrl, ServerUrlError};

use crate::diagnostic::Code;
use crate::headers::{self, server_headers};
use crate::host::{Public, is_well_formed};
use crate::node::{NodeId, Value, quoted, ticked};
use crate::problem::Problem;
use crate::reader::{Field, Key, boolean, number, or_off, quotable_text, text};
use crate::rotation;
use crate::shape::{About, Shape, Text};

/// What is written about a server beside its address. The defaults are the core's.
pub(crate) struct Draft {
    name: Option<String>,
    pub(crate) weight: u32,
    pub(crate) backup: bool,
    pub(crate) drain: bool,
    pub(crate) enabled: bool,
    max_requests: Option<u32>,
    headers: Vec<ServerHeader>,
}

impl Default for Draft {
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
pub(crate) const KEYS: &[Key<Draft>] = &[
    Key::new(
        "name",
        "What it is called in `X-Served-By` and in logs. Default: the first label of its hostname, as `chat-b` of \
         `chat-b.example.com`.",
        Shape::Text(NAME),
        |draft, field| field.set(&mut draft.name, |value| name(value).map(Some)),
    ),
    Key::new(
        "weight",
        "Its share of the traffic, relative to the others'. `0`: no new traffic. `failover` has no shares.",
        Shape::Number(WEIGHT),
        |draft, field| field.set(&mut draft.weight, |value| number(value, WEIGHT)),
    ),
    Key::new("backup", "Whether it is used only while no other server is usable.", Shape::Boolean, |draft, field| {
        field.set(&mut draft.backup, boolean);
    }),
    Key::new(
        "drain",
        "Whether it only keeps the clients that `affinity` gave it, to take it down later without anybody noticing.",
        Shape::Boolean,
        |draft, field| field.set(&mut draft.drain, boolean),
    ),
    Key::new("enabled", "Whether it is used and probed at all.", Shape::Boolean, |draft, field| {
        field.set(&mut draft.enabled, boolean);
    }),
    Key::new(
        "max_requests",
        "The most requests that one isolate sends to it at a time; more go to other servers. `false`: no limit.",
        Shape::OneOf(&[Shape::Off, Shape::Number(MAX_REQUESTS)]),
        |draft, field| {
            field.set(&mut draft.max_requests, |value| or_off(value, |value| number(value, MAX_REQUESTS)));
        },
    ),
    Key::new(
        "headers",
        "Headers that requests and probes to this server carry besides, and no other server sees; `${NAME}` anywhere in a \
         value stands for a secret. A visitor's own copies reach no server. \
         For example `{ CF-Access-Client-Id: \"${ACCESS_ID}\", CF-Access-Client-Secret: \"${ACCESS_SECRET}\" }`.",
        headers::SHAPE,
        |draft, field| server_headers(&mut draft.headers, field),
    ),
];

/// What can be written as the servers of a service.
pub(crate) const SHAPE: Shape =
    Shape::Shared("servers", &Shape::OneOf(&[ADDRESS, Shape::List(&SERVER, ServerSet::CAPACITY)]));

const SERVER: Shape = Shape::OneOf(&[
    Shape::Map(|| {
        let url = "A hostname, `host:port` or URL; `https` unless it says `http://`. A path comes before that of each request.";
        [vec![About::required("url", url, ADDRESS)], Key::about(KEYS)].concat()
    }),
    ADDRESS,
]);

const ADDRESS: Shape = Shape::Text(Text {
    what: "a hostname or URL",
    pattern: r"^([Hh][Tt][Tt][Pp][Ss]?://+)?(\[[^\s\]]*\]|[^\s\\/?#@*:\[\]]+)(:[0-9]+)?(/[^\s\\?#]*)?$",
    longest: None,
});

const NAME: Text = Text { what: "a name", pattern: r"^[!#-&(-+\--:<-\[\]-_a-~]+$", longest: Some(MAX_NAME) };

const WEIGHT: RangeInclusive<u32> = 0..=1000;
const MAX_REQUESTS: RangeInclusive<u32> = 1..=100_000;
/// Longer names would fill a line of a log.
const MAX_NAME: usize = 64;

/// The servers in the order they are written. What is wrong with them is reported and left out.
pub(crate) fn servers(field: Field<'_>, public: &Public) -> Vec<Server> {
    const EXPECTED: &str = "a hostname, or a list of servers";
    let problem = match field.value() {
        Value::Text(_) => None,
        Value::List(items) if !items.is_empty() => None,
        Value::List(_) => Some(
            Problem::new(Code::InvalidServers, "a service needs at least one server")
                .hint("write the hostname of its tunnel, as in `[chat-a.example.com]`"),
        ),
        map @ Value::Map(_) => {
            Some(Problem::wrong_type(EXPECTED, map).hint("make it an item of a list: put `- ` in front"))
        }
        other => Some(Problem::wrong_type(EXPECTED, other)),
    };
    if let Some(problem) = problem {
        field.report(problem);
        return Vec::new();
    }
    let mut seen = Seen::default();
    let read = |item| {
        let mut draft = Draft::default();
        (server(item, &mut draft, public, &mut seen), draft)
    };
    let (servers, drafts): (Vec<Option<Server>>, Vec<Draft>) = field.one_or_many().into_iter().map(read).unzip();
    if let Err(problem) = rotation::check(&drafts) {
        field.report(problem);
    }
    servers.into_iter().flatten().collect()
}

/// One server; what is written about it goes into `draft` even where its address is wrong.
fn server(field: Field<'_>, draft: &mut Draft, public: &Public, seen: &mut Seen) -> Option<Server> {
    let (address, named) = match field.value() {
        Value::Map(_) => {
            let mut map = field.map("a server")?;
            let (address, named) =
                (map.require("url", "write `url: chat-a.example.com`"), map.written(&["name"]).first());
            map.apply(draft, KEYS);
            (address?, named)
        }
        Value::Text(_) => (field, None),
        other => {
            field.report(Problem::wrong_type("a hostname, or a map with the key `url`", other));
            return None;
        }
    };
    let mut server = Server::new(address.read(|value| url(value, public))?);
    server.name = draft.name.take().unwrap_or(server.name);
    server.weight = draft.weight;
    server.backup = draft.backup;
    server.drain = draft.drain;
    server.enabled = draft.enabled;
    server.max_requests = draft.max_requests;
    server.headers = std::mem::take(&mut draft.headers);
    seen.add(&server, address, named);
    Some(server)
}

/// The servers of this service so far, by what must be unique, and where that is written.
#[derive(Default)]
struct Seen {
    urls: BTreeMap<String, NodeId>,
    names: BTreeMap<String, (NodeId, bool)>,
}

impl Seen {
    fn add(&mut self, server: &Server, address: Field<'_>, named: Option<Field<'_>>) {
        let url = server.url.to_string();
        if let Some(other) = self.urls.get(&url) {
            let problem = Problem::new(Code::InvalidServers, format!("the server {} is listed twice", ticked(&url)));
            let hint = "remove one: a server is not tried more often by being listed more often";
            return address.report(problem.see(*other).hint(hint));
        }
        self.urls.insert(url, address.node().id);
        let at = named.unwrap_or(address);
        if let Some((other, other_named)) = self.names.get(&server.name) {
            let message = format!("two servers have the name {}", ticked(&server.name));
            let hint = if named.is_some() && *other_named {
                "`X-Served-By` and logs tell servers apart by name: change one"
            } else {
                "a server is named after the first label of its hostname: give one of them a `name`"
            };
            return at.report(Problem::new(Code::DuplicateName, message).see(*other).hint(hint));
        }
        self.names.insert(server.name.clone(), (at.node().id, named.is_some()));
    }
}

fn url(value: &Value<'_>, public: &Public) -> Result<ServerUrl, Problem> {
    let text = text(value, "a hostname or URL")?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        let problem = Problem::new(Code::InvalidUrl, "not a hostname or URL");
        return Err(problem.hint("spaces and backslashes cannot be a part of it; each server is an item of its own"));
    }
    // Read as `host:port/path`, `https:/chat-a.example.com` would be a server called `https`.
    if !text.contains("://") && text.contains(":/") {
        return Err(Problem::new(Code::InvalidUrl, "not a hostname or URL").hint(URL_HINT));
    }
    let url: ServerUrl = text.parse().map_err(|error| wrong_url(&error))?;
    let Some(host) = normalize_host(url.authority()).filter(|host| is_well_formed(host)) else {
        let wildcard = "a server has one full hostname: wildcards are not supported";
        let problem = Problem::new(Code::InvalidUrl, format!("{} is not a hostname", ticked(url.authority())));
        return Err(problem.hint(if text.contains('*') { wildcard } else { URL_HINT }));
    };
    if let Some(written) = public.host(&host) {
        let problem = Problem::new(Code::Loop, format!("the server {} is a public host of this file", ticked(&host)));
        let hint = "its requests would come back here for ever: give the tunnel a hostname of its own";
        return Err(problem.see(written).hint(hint));
    }
    Ok(url)
}

const URL_HINT: &str = "write `chat-a.example.com`, `chat-a.example.com:8443` or `http://127.0.0.1:8080`";

/// Says what to do about it. The text itself is not repeated where it may hold a password.
fn wrong_url(error: &ServerUrlError) -> Problem {
    let hint = match error {
        ServerUrlError::Scheme(_) => "a server is reached over `https` or `http`",
        ServerUrlError::Credentials => "remove what stands before the `@`",
        ServerUrlError::Query => "remove the `?` and what follows: each request brings a query of its own",
        ServerUrlError::Fragment => "remove the `#` and what follows: it is never sent",
        _ => URL_HINT,
    };
    Problem::new(Code::InvalidUrl, error.to_string()).hint(hint)
}

fn name(value: &Value<'_>) -> Result<String, Problem> {
    let name = quotable_text(value, "a name")?;
    let is_plain = |b: u8| b.is_ascii_graphic() && !b",;\"'`\\".contains(&b);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name.to_owned());
    }
    let problem = Problem::new(Code::InvalidValue, format!("{} cannot be the name of a server", quoted(name)));
    let hint = format!(
        "1 to {MAX_NAME} visible ASCII characters without commas, semicolons and quotes: it is sent as a header"
    );
    Err(problem.hint(hint))
}
