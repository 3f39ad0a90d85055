//! `tunnel-balancer explain`: what would happen to one request, and why.
//!
//! The order of the servers and the fate of each outcome are asked of the engine itself, on a copy
//! of what it would know; only the words are from here.

mod explanation;
mod outcomes;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use tunnel_balancer_core::{Body, Pool, ProxiedRequest, Service, Services, Snapshot, Timestamp, headers};
use url::{Position, Url};

use crate::{input, output};
use explanation::Explanation;

/// Say what would happen to a request: which service it is for, which servers are asked in which
/// order and why, what is tried again, and what the first server would get.
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
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
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

    /// What is known of the servers: a snapshot as JSON, `{"servers": [...]}`.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Decides what is left to chance.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// When the request comes, on a clock of our own: late enough for something to have happened
/// before.
const NOW: Timestamp = Timestamp::from_millis(100_000);

impl Explain {
    pub(crate) fn run(self) -> ExitCode {
        match self.explanation() {
            Ok(explanation) => {
                let said = if self.json { format!("{:#}\n", explanation.json()) } else { explanation.text() };
                let printed = output::print(&said);
                let is_refused = explanation.refusal.is_some() && printed == ExitCode::SUCCESS;
                if is_refused { ExitCode::FAILURE } else { printed }
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
        let url = asked(&self.url)?;
        let fields: HeaderMap = self.headers.iter().cloned().collect();
        let matched = match services.route(&url, fields.contains_key(headers::LOOP_HEADER)) {
            Ok(matched) => matched,
            Err(problem) => {
                let hosts = services.pools().map(|pool| pool.service().name()).collect::<Vec<_>>();
                let refusal = format!("{}: {} (services: {})", problem.status(), problem.message(), hosts.join(", "));
                return Ok(Explanation { url, refusal: Some(refusal), ..Explanation::default() });
            }
        };
        self.inform(matched.pool)?;
        let inbound =
            ProxiedRequest::new(matched, &fields, Some(self.ip.to_string())).map_err(|error| error.to_string())?;
        let body = if self.large_body { Body::Once } else { Body::Replayable };
        let info = inbound.meta(self.method.clone(), &fields, body, false).map_err(|error| error.to_string())?;
        Ok(Explanation::of(url.clone(), matched, &inbound, &info, fields))
    }

    /// Lets the pool know what --down and --state say.
    fn inform(&self, pool: &Pool) -> Result<(), String> {
        let mut snapshots = Vec::new();
        if let Some(path) = &self.state {
            let text = input::any(path)?;
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
            let down = json!({ "server": name, "reporter": "--down", "probed_at": now, "health": "unhealthy",
                "state_changed_at": now, "ejected_until": now + 10_000, "ejection_count": 1 });
            snapshots.push(serde_json::from_value(json!({ "servers": [down] })).map_err(|error| error.to_string())?);
        }
        snapshots.iter().for_each(|snapshot: &Snapshot| pool.update(|state| state.merge(snapshot, NOW)));
        Ok(())
    }
}

/// The services of a file. Secrets need not be known: their values are not shown.
fn read(path: &Path) -> Result<Vec<Service>, String> {
    let config = tunnel_balancer_config::parse(&input::yaml(path)?);
    Ok(config.map_err(|errors| errors.in_file(&path.display().to_string()).to_string())?.services)
}

/// A URL as a browser asks for it: the host in ASCII, the path without `..`, no fragment.
fn asked(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&whole).map_err(|error| format!("error: {text} is no URL: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!("error: {}: only http and https are served", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("error: the URL has a user name; write `--header 'Authorization: ...'`".to_owned());
    }
    Ok(url[..Position::AfterQuery].to_owned())
}

fn method(text: &str) -> Result<Method, String> {
    let method: Method = text.parse().map_err(|_| format!("{text:?} is no method"))?;
    let capitals = text.to_ascii_uppercase();
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::POST, Method::PATCH];
    if capitals != text && known.iter().any(|known| known.as_str() == capitals) {
        return Err(format!("methods are told apart by case: write {capitals}"));
    }
    Ok(method)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write a header as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    Ok((name, value.trim().parse().map_err(|_| format!("{value:?} cannot be the value of a header"))?))
}
