//! `tunnel-balancer explain`: what would happen to one request, and why.
//!
//! The order of the servers and the fate of each outcome are asked of the engine itself, on a copy of what it would know; only
//! the words are from here.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tunnel_balancer_core::{
    Admitted, Blame, Body, Delivery, Failure, Inbound, Outcome, Pick, Policy, Pool, PoolState, RequestInfo, Server,
    ServerId, ServerSet, Service, Services, Snapshot, Standing, Timestamp, Writes, headers,
};

use crate::output;

/// Say what would happen to a request: which service it is for, which servers are asked in which order and why, what is tried
/// again, and what the first server would get.
///
/// Nothing is sent. By default nothing is known of the servers yet; --down and --state change that.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer explain https://chat.example.com/rooms
  tunnel-balancer explain chat.example.com/upload --method POST --down chat-a
  tunnel-balancer explain chat.example.com --header 'Cookie: lb=0123' --ip 203.0.113.7 --json

Exit codes: 0 a server would be asked; 1 the answer would be the balancer's own; 2 mistakes in the file or the command.")]
pub(crate) struct Explain {
    /// What is asked for; https unless it says otherwise.
    url: String,

    /// The services and their servers.
    #[arg(long, value_name = "FILE", default_value = "services.yaml")]
    services: PathBuf,

    /// The request's method.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,

    /// A header of the request; may be given more than once.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// The client's address.
    #[arg(long, value_name = "ADDRESS", default_value = "203.0.113.7")]
    ip: std::net::IpAddr,

    /// The request has a body that is too large to be kept for a second try.
    #[arg(long)]
    large_body: bool,

    /// A server that is down; may be given more than once.
    #[arg(long, value_name = "NAME")]
    down: Vec<String>,

    /// What is known of the servers: a snapshot as JSON, `{"facts": [...]}`.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Decides what is left to chance.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// When the request comes, on a clock of our own: late enough for something to have happened before.
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

impl Explain {
    pub(crate) fn run(self) -> ExitCode {
        match self.explanation() {
            Ok(explanation) => {
                let said = if self.json { format!("{:#}\n", explanation.json()) } else { explanation.text() };
                let printed = output::print(&said);
                if printed == ExitCode::SUCCESS { explanation.exit_code() } else { printed }
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        }
    }

    fn explanation(&self) -> Result<Explanation, String> {
        let config = read(&self.services)?;
        let services = Services::new(config, self.seed);
        let url = if self.url.contains("://") { self.url.clone() } else { format!("https://{}", self.url) };
        let fields: HeaderMap = self.headers.iter().cloned().collect();
        let admitted = match services.admit(&url, fields.contains_key(headers::HOP)) {
            Ok(admitted) => admitted,
            Err(problem) => {
                let hosts = services.pools().map(|pool| pool.service().name()).collect::<Vec<_>>();
                let refusal = format!("{}: {} (services: {})", problem.status(), problem.message(), hosts.join(", "));
                return Ok(Explanation {
                    url,
                    service: None,
                    servers: Vec::new(),
                    left_out: Vec::new(),
                    outcomes: Vec::new(),
                    request: None,
                    limits: String::new(),
                    refusal: Some(refusal),
                });
            }
        };
        self.inform(admitted.pool)?;
        let inbound = Inbound::new(admitted, &fields, Some(self.ip.to_string())).map_err(|error| error.to_string())?;
        let body = if self.large_body { Body::Once } else { Body::Replayable };
        let info =
            inbound.info(admitted.pool, self.method.clone(), &fields, body).map_err(|error| error.to_string())?;
        Ok(explanation(url.clone(), admitted, &inbound, &info, fields))
    }

    /// Lets the pool know what --down and --state say.
    fn inform(&self, pool: &Pool) -> Result<(), String> {
        let mut snapshots = Vec::new();
        if let Some(path) = &self.state {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            snapshots.push(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?);
        }
        let names: Vec<&str> = pool.service().servers().iter().map(|server| server.name.as_str()).collect();
        for name in &self.down {
            if !names.contains(&name.as_str()) {
                return Err(format!(
                    "error: --down {name}: {} has the servers {}",
                    pool.service().name(),
                    names.join(", ")
                ));
            }
            let now = NOW.as_millis();
            let fact = json!({ "server": name, "by": "--down", "seen": now, "health": "unhealthy", "judged": now,
                "ejected_until": now + 10_000, "repetitions": 1 });
            snapshots.push(serde_json::from_value(json!({ "facts": [fact] })).map_err(|error| error.to_string())?);
        }
        snapshots.iter().for_each(|snapshot: &Snapshot| pool.update(|state| state.merge(snapshot, NOW)));
        Ok(())
    }
}

/// Everything there is to say, for people and for programs.
struct Explanation {
    url: String,
    /// Its name, and why it is the one.
    service: Option<(String, String)>,
    /// Name and reason, in the order in which they are asked.
    servers: Vec<(String, String)>,
    /// Name and reason.
    left_out: Vec<(String, String)>,
    /// What may come of an attempt, and what follows.
    outcomes: Vec<(String, String)>,
    limits: String,
    /// Method and target, and the headers.
    request: Option<(String, Vec<String>)>,
    /// Why there would be an answer of ours at once.
    refusal: Option<String>,
}

fn explanation(
    url: String,
    admitted: Admitted<'_, '_>,
    inbound: &Inbound,
    info: &RequestInfo,
    fields: HeaderMap,
) -> Explanation {
    let pool = admitted.pool;
    let service = pool.service();
    let (picks, problem) = order(pool, info);
    let status = pool.update(|state| state.status(NOW));
    let most = usize::try_from(service.retry.attempts).unwrap_or(usize::MAX);
    let mut servers = Vec::new();
    let mut left_out = Vec::new();
    for (place, pick) in picks.iter().enumerate() {
        let Some(server) = service.server(pick.server) else { continue };
        let named = (server.name.clone(), reason(place, pick, server, service, info));
        if place < most {
            servers.push(named);
        } else {
            left_out.push((server.name.clone(), format!("`attempts: {most}` are used up before")));
        }
    }
    for (index, server) in service.servers().iter().enumerate() {
        let is_asked = picks.iter().any(|pick| pick.server.index() == index);
        if !is_asked {
            left_out.push((server.name.clone(), why_not(index, server, &status[index], service, info)));
        }
    }
    let request = picks.first().and_then(|pick| service.server(pick.server)).map(|server| {
        let mut sent = fields;
        // The client's connection ends here, and the server is asked by its own name.
        sent.remove(http::header::HOST);
        let edited = headers::remove_hop_by_hop(&mut sent).and_then(|()| inbound.address(&mut sent, pool, server));
        let line = format!("{} {}", info.method, server.url.target(&inbound.path_and_query));
        (line, edited.map(|()| shown(&sent, server)).unwrap_or_default())
    });
    let retry = &service.retry;
    Explanation {
        url,
        service: Some((service.name(), why_this(service))),
        refusal: servers.is_empty().then(|| problem.unwrap_or_default()),
        servers,
        left_out,
        outcomes: outcomes(service, info),
        limits: format!("{} attempts at most, {:?} in all", retry.attempts, retry.timeout),
        request,
    }
}

/// Whom the engine would choose, one after the other, each having failed before the next; and why it stops.
fn order(pool: &Pool, info: &RequestInfo) -> (Vec<Pick>, Option<String>) {
    let mut state: PoolState = pool.update(|state| state.clone());
    let (mut picks, mut tried) = (Vec::new(), ServerSet::EMPTY);
    loop {
        match state.pick(tried, info, NOW) {
            Ok(pick) => {
                tried = tried.union(ServerSet::of(pick.server));
                picks.push(pick);
            }
            Err(problem) => return (picks, Some(format!("{}: {}", problem.status(), problem.message()))),
        }
    }
}

fn why_this(service: &Service) -> String {
    if service.path.is_empty() {
        "its host, and no path of another service there".to_owned()
    } else {
        format!("its host, and the longest path that fits: {}", service.path)
    }
}

fn reason(place: usize, pick: &Pick, server: &Server, service: &Service, info: &RequestInfo) -> String {
    if pick.fallback {
        return "not usable, and asked all the same: nobody is".to_owned();
    }
    if pick.trial {
        return "on probation: this request decides whether it takes traffic again".to_owned();
    }
    if place == 0 && info.sticky == Some(pick.server) {
        return "the client's own: its cookie says so".to_owned();
    }
    if server.backup {
        return "a backup: no other is left".to_owned();
    }
    if service.writes == Writes::PrimaryOnly && !info.method.is_safe() {
        return "the one that takes writes".to_owned();
    }
    let first = place == 0;
    match &service.policy {
        Policy::Failover if first => "the first in the list that is usable".to_owned(),
        Policy::Failover => "next in the list".to_owned(),
        Policy::RoundRobin => "by turns: this is the order of the very first request".to_owned(),
        Policy::Random => format!("by lot, weight {}: another --seed draws others", server.weight),
        Policy::LeastRequests => "of two drawn by lot the less busy: another --seed draws others".to_owned(),
        Policy::Latency => {
            "of two drawn by lot the one likely to answer sooner: another --seed draws others".to_owned()
        }
        Policy::Hash(_) if first => "the highest score for this client's key".to_owned(),
        Policy::Hash(_) => "the next score for this client's key".to_owned(),
        _ => "by the policy".to_owned(),
    }
}

fn why_not(
    index: usize,
    server: &Server,
    status: &tunnel_balancer_core::ServerStatus,
    service: &Service,
    info: &RequestInfo,
) -> String {
    let is_primary = ServerId::new(0).is_some_and(|id| id.index() == index);
    if !server.enabled {
        "`enabled: false`".to_owned()
    } else if service.writes == Writes::PrimaryOnly && !info.method.is_safe() && !is_primary {
        format!("`writes: primary_only`, and {} may write", info.method)
    } else if server.drain {
        "`drain: true`: it keeps its clients and gets no new ones".to_owned()
    } else if server.weight == 0 {
        "`weight: 0`: no new traffic".to_owned()
    } else if let Standing::Ejected(until) = status.standing {
        format!("left out for {:?}", until.since(NOW))
    } else {
        format!("{:?}, in its place behind the others", status.health).to_lowercase()
    }
}

/// What may come of an attempt, grouped by what follows.
fn outcomes(service: &Service, info: &RequestInfo) -> Vec<(String, String)> {
    let retry = &service.retry;
    let fate = |outcome: Outcome| {
        let verdict = retry.verdict(outcome);
        let again = info.may_be_sent_again(outcome, retry);
        let blame = match info.blame(outcome, retry) {
            Blame::AtOnce => "the server is left out at once",
            Blame::Counted => "it counts against the server",
            Blame::None | Blame::Unclear => "nobody is blamed",
        };
        match (again, verdict.delivery) {
            (true, Delivery::Never) => format!("goes to the next server, free of the budget; {blame}"),
            (true, _) => format!("goes to the next server, within the budget; {blame}"),
            (false, Delivery::Answered) => "is passed on".to_owned(),
            (false, _) => format!("is the end: {} must not be sent twice; {blame}", what(info)),
        }
    };
    let mut groups: Vec<(String, Vec<u16>, Vec<&str>)> = Vec::new();
    let mut add = |fate: String, code: Option<u16>, name: Option<&'static str>| {
        let place = groups.iter().position(|(known, ..)| *known == fate).unwrap_or_else(|| {
            groups.push((fate, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.extend(code);
        groups[place].2.extend(name);
    };
    let failures = [
        (Failure::Connect, "no connection"),
        (Failure::Lost, "a broken connection"),
        (Failure::Timeout, "no answer in time"),
        (Failure::Hung, "no answer, and a failed probe"),
    ];
    for (failure, name) in failures {
        add(fate(Outcome::Failed(failure)), None, Some(name));
    }
    for code in 200..600 {
        if let Ok(status) = StatusCode::from_u16(code) {
            add(fate(Outcome::Status(status)), Some(code), None);
        }
    }
    let named = groups.into_iter().map(|(fate, codes, names)| {
        let mut parts: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // The rest need not be counted out.
        if codes.len() > 100 {
            parts.push("any other status".to_owned())
        } else {
            parts.extend(ranges(&codes))
        }
        (parts.join(", "), fate)
    });
    named.collect()
}

fn what(info: &RequestInfo) -> String {
    if info.body == Body::Once { "what has streamed".to_owned() } else { info.method.to_string() }
}

/// `502-504` for 502, 503, 504.
fn ranges(codes: &[u16]) -> Vec<String> {
    let chunks = codes.chunk_by(|a, b| a + 1 == *b);
    chunks
        .map(|chunk| match chunk {
            [first, .., last] => format!("{first}-{last}"),
            _ => chunk.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

/// The headers as lines, in alphabetical order; what the server alone gets is not shown.
fn shown(fields: &HeaderMap, server: &Server) -> Vec<String> {
    let is_own = |name: &HeaderName| server.headers.iter().any(|header| header.name == name.as_str());
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if is_own(name) { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {value}")
    };
    let mut lines: Vec<String> = fields.iter().map(line).collect();
    lines.sort();
    lines
}

impl Explanation {
    fn exit_code(&self) -> ExitCode {
        if self.refusal.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.url);
        if let Some((name, why)) = &self.service {
            let _ = writeln!(text, "  is for the service {name}: {why}\n");
        }
        if let Some(refusal) = &self.refusal {
            let _ = writeln!(text, "No server is asked. The answer is our own: {refusal}");
        }
        if !self.servers.is_empty() {
            let _ = writeln!(text, "Servers, in the order in which they are asked ({}):", self.limits);
            table(
                &mut text,
                self.servers.iter().enumerate().map(|(i, (name, why))| (format!("{}. {name}", i + 1), why)),
            );
        }
        if !self.left_out.is_empty() {
            text.push_str("\nNot asked:\n");
            table(&mut text, self.left_out.iter().map(|(name, why)| (name.clone(), why)));
        }
        if !self.outcomes.is_empty() {
            text.push_str("\nWhat comes of an attempt:\n");
            for (what, fate) in &self.outcomes {
                let _ = writeln!(text, "  {what}\n    {fate}");
            }
        }
        if let Some((line, lines)) = &self.request {
            let _ = writeln!(text, "\nWhat {} gets:\n  {line}", self.servers.first().map_or("it", |(name, _)| name));
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    fn json(&self) -> Value {
        let pairs = |pairs: &[(String, String)], first: &str, second: &str| -> Value {
            pairs.iter().map(|(a, b)| json!({ first: a, second: b })).collect()
        };
        json!({
            "url": self.url,
            "service": self.service.as_ref().map(|(name, why)| json!({ "name": name, "reason": why })),
            "answer": self.refusal,
            "servers": pairs(&self.servers, "name", "reason"),
            "not_asked": pairs(&self.left_out, "name", "reason"),
            "limits": self.limits,
            "outcomes": pairs(&self.outcomes, "outcome", "what_follows"),
            "request": self.request.as_ref().map(|(line, headers)| json!({ "line": line, "headers": headers })),
        })
    }
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = (String, &'a String)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, why) in rows {
        let _ = writeln!(text, "  {name:width$}  {why}");
    }
}

/// The services of a file. Secrets need not be known: their values are not shown.
fn read(path: &Path) -> Result<Vec<Service>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("error: cannot read {}: {error}", path.display()))?;
    let config = tunnel_balancer_config::parse(&text);
    Ok(config.map_err(|errors| errors.in_file(&path.display().to_string()).to_string())?.services)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write a header as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    Ok((name, value.trim().parse().map_err(|_| format!("{value:?} cannot be the value of a header"))?))
}
