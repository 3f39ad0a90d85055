//! `tunnel-balancer drill`: lets one request see a server as down, hung or failing.

mod report;
mod run;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use tunnel_balancer_core::DrillKind;
use tunnel_balancer_core::headers::DRILL_HEADER;
use tunnel_balancer_native::ApiResponse;
use tunnel_balancer_state::control::Token;
use tunnel_balancer_state::{MAX_DRILL_MS, sign_drill};

use crate::client_request::{ClientRequest, parse_url};
use crate::token::{TOKEN, TokenFile};
use crate::trace::Traced;
use crate::{duration, output};

/// Prove failover without an outage: one request sees a server as down, hung or failing.
///
/// No other request notices. The order is signed with the token of the control API, which is read
/// from BALANCER_CONTROL_TOKEN, unless --token-file is given. Requests to the other servers are
/// real. With --run, every server of every service is drilled in turn with a GET.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer drill https://chat.example.com --server chat-a --down
  tunnel-balancer drill https://chat.example.com --server chat-a --hung --method POST
  tunnel-balancer drill --run services.yaml
  tunnel-balancer drill --run services.yaml --to http://127.0.0.1:8080 --path /healthz
  curl -H \"$(tunnel-balancer drill chat.test --server a --down --print-header)\" https://chat.test

Exit codes: 0 a server responded, with --run to every drill; 1 failover failed, or the drill was not
applied; 2 errors in the command.")]
pub(crate) struct Drill {
    /// URL of the request. Default scheme: https.
    #[arg(required_unless_present = "run", conflicts_with = "run")]
    url: Option<String>,

    /// Name of the server.
    #[arg(long, value_name = "NAME", required_unless_present = "run", conflicts_with = "run")]
    server: Option<String>,

    #[command(flatten)]
    kind: Kind,

    /// Address of the service, if it is not the host of the URL: example.com/api, or a wildcard.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "run")]
    service: Option<String>,

    /// Time after which the order expires, at most 10m.
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = time)]
    validity: Duration,

    /// Print the signed header instead of sending a request.
    #[arg(long, conflicts_with_all = ["run", "json"])]
    print_header: bool,

    /// Drill every server of every service: those of a map, or of a balancer by its URL.
    #[arg(long, value_name = "FILE|URL")]
    run: Option<String>,

    /// With --run: send all requests to this balancer, by the `Host` header.
    #[arg(long, value_name = "URL", requires = "run")]
    to: Option<String>,

    /// With --run: path of the requests, within the path of each service.
    #[arg(long, value_name = "PATH", default_value = "/", requires = "run")]
    path: String,

    #[command(flatten)]
    request: ClientRequest,

    #[command(flatten)]
    token: TokenFile,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What the request assumes about the server.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
struct Kind {
    /// The server refuses connections. The default with --run.
    #[arg(long)]
    down: bool,

    /// The server responds to neither the request nor probes.
    #[arg(long)]
    hung: bool,

    /// The server breaks the connection after the request was delivered.
    #[arg(long)]
    failing: bool,

    /// The request goes to the server, whatever its state is. Nothing is simulated.
    #[arg(long)]
    force: bool,
}

impl Kind {
    fn get(self) -> Option<DrillKind> {
        let kinds = [
            (self.down, DrillKind::Down),
            (self.hung, DrillKind::Hung),
            (self.failing, DrillKind::Failing),
            (self.force, DrillKind::Force),
        ];
        kinds.into_iter().find(|(is_set, _)| *is_set).map(|(_, kind)| kind)
    }
}

impl Drill {
    pub(crate) fn run(self) -> ExitCode {
        self.result().unwrap_or_else(|error| {
            eprintln!("{}", output::escaped(&error));
            ExitCode::from(2)
        })
    }

    fn result(&self) -> Result<ExitCode, String> {
        let token = Token::new(&self.token.read(&[TOKEN])?).map_err(|error| format!("error: {error}"))?;
        if let Some(source) = &self.run {
            return self.run_all(source, &token);
        }
        let kind = self.kind.get().ok_or("error: no kind\n  hint: use --down, --hung, --failing or --force")?;
        let (Some(url), Some(server)) = (&self.url, &self.server) else {
            return Err("error: no URL or server".to_owned());
        };
        let url = parse_url(url)?;
        let service = self.service.clone().unwrap_or_else(|| self.request.host(&url));
        let order = self.order(&token, &service, server, kind)?;
        if self.print_header {
            return Ok(output::print(&format!("{DRILL_HEADER}: {order}\n")));
        }
        let response =
            self.request.send(&url, DRILL_HEADER, &order).and_then(|response| applied(&response, &service, server));
        match response {
            Ok(traced) => {
                Ok(traced.print(&format!("{} {url}, {} {server}", self.request.method, kind.as_str()), self.json))
            }
            Err(error) => {
                eprintln!("{}", output::escaped(&error));
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn order(&self, token: &Token, service: &str, server: &str, kind: DrillKind) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| format!("error: {error}"))?;
        let expires_at = u64::try_from((now + self.validity).as_millis()).unwrap_or(u64::MAX);
        Ok(sign_drill(token, service, server, kind, expires_at))
    }
}

/// Returns the trace of a drilled request.
///
/// # Errors
/// If the drill was not applied, for the terminal.
fn applied(response: &ApiResponse, service: &str, server: &str) -> Result<Traced, String> {
    if response.headers.get(DRILL_HEADER).is_none_or(|value| value != "applied") {
        let status = response.status.as_u16();
        return Err(format!(
            "error: the drill was not applied (status {status}), and the request was served as any other\n  hint: the \
             token has to be that of the balancer, `{service}` the address of the service (--service), `{server}` one \
             of its servers, and the clocks have to agree"
        ));
    }
    Traced::of(response)
}

fn time(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_millis(MAX_DRILL_MS);
    duration::within(text, range, "expected a duration from 1s to 10m, such as 1m")
}
