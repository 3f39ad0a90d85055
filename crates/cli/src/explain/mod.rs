//! `tunnel-balancer explain`: the decisions about one request, with their reasons.
//!
//! The order of the servers and the consequence of each outcome come from the engine, which runs on
//! a copy of the given state.

mod explanation;
mod outcomes;
mod show;
mod state;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::HeaderMap;
use tunnel_balancer_core::{Body, ProxiedRequest, Services, Timestamp, headers};

use crate::client_request::{ClientRequest, parse_url};
use crate::map_file::{MapFile, hint_for};
use crate::{address, output};
use explanation::Explanation;

/// Explain the decisions about one request: servers in the order of attempts, with reasons.
///
/// The output also has the service, the consequence of each outcome, and the request that the first
/// server receives. Nothing is sent. By default all servers are available; --down and --state
/// change that.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer explain https://chat.example.com/rooms
  tunnel-balancer explain chat.example.com/upload --method POST --down chat-a
  tunnel-balancer explain chat.example.com --header 'Cookie: lb=0123' --ip 203.0.113.7 --json
  echo 'chat-a: { ejected_for: 10s }' | tunnel-balancer explain chat.example.com --state -

The file of --state is a map from server names to these fields, in YAML or JSON:
  health             healthy, unhealthy or unknown (default), by probes
  ejected_for        remaining time of the ejection, such as 10s; 0s is a probation
  awaiting_failback  true: held back by the service's `failback`
It may also be the output of `tunnel-balancer status --json`: the state of a running balancer.

Exit codes: 0 a server is tried; 1 the balancer replies itself; 2 errors in a file or in the command.")]
pub(crate) struct Explain {
    /// URL of the request. Default scheme: https.
    url: String,

    #[command(flatten)]
    map: MapFile,

    #[command(flatten)]
    request: ClientRequest,

    /// Address of the client.
    #[arg(long, value_name = "ADDRESS", default_value = "203.0.113.7", value_parser = address::ip)]
    ip: IpAddr,

    /// Assume a body that is too large to be buffered, so that it can be sent only once.
    #[arg(long)]
    unbuffered_body: bool,

    /// Assume that this server is unhealthy and ejected. Repeatable.
    #[arg(long, value_name = "SERVER")]
    down: Vec<String>,

    /// File with the state of servers; `-` reads standard input. See below for its fields.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Seed of random selections.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// The time of the request. It is late enough for facts before it.
const NOW: Timestamp = Timestamp::from_millis(100_000);

impl Explain {
    pub(crate) fn run(self) -> ExitCode {
        match self.explanation() {
            Ok(explanation) => {
                let text = if self.json { format!("{:#}\n", explanation.json()) } else { explanation.text() };
                let printed = output::print_escaped(&text);
                let is_local = explanation.local_reply.is_some() && printed == ExitCode::SUCCESS;
                if is_local { ExitCode::FAILURE } else { printed }
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        }
    }

    fn explanation(&self) -> Result<Explanation, String> {
        let services = Services::new(self.map.load()?.services, self.seed);
        let url = parse_url(&self.url)?;
        let fields: HeaderMap = self.request.fields();
        let matched = match services.route(&url, fields.contains_key(headers::LOOP_HEADER)) {
            Ok(matched) => matched,
            Err(reply) => {
                let hint = hint_for(&self.url);
                if !hint.is_empty() {
                    return Err(format!("error: no service has the host `{}`{hint}", self.url));
                }
                let names = services.pools().map(|pool| pool.service().name()).collect::<Vec<_>>();
                let reply = format!("{}: {} (services: {})", reply.status(), reply.message(), names.join(", "));
                return Ok(Explanation { url, local_reply: Some(reply), ..Explanation::default() });
            }
        };
        state::apply(matched.pool, self.state.as_deref(), &self.down)?;
        let request =
            ProxiedRequest::new(matched, &fields, Some(self.ip.to_string())).map_err(|error| error.to_string())?;
        let body = if self.unbuffered_body { Body::Once } else { Body::Replayable };
        let meta =
            request.meta(self.request.method.clone(), &fields, body, false).map_err(|error| error.to_string())?;
        Ok(Explanation::new(url.clone(), matched, &request, &meta, fields))
    }
}
