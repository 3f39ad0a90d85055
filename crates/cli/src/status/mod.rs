//! `tunnel-balancer status`: the state of a running balancer.

mod text;

use std::io::{IsTerminal as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::api::{Api, STATUS, Target};
use crate::output;
use crate::table::list;

/// Show the state of a running balancer: services, servers, traffic and failures.
///
/// The data is that of the status page: see `status` in services.yaml, and `serve --admin`. The
/// token is read from BALANCER_STATUS_TOKEN or BALANCER_CONTROL_TOKEN, unless --token-file is
/// given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer status
  tunnel-balancer status --watch
  tunnel-balancer status https://chat.example.com --token-file token
  tunnel-balancer status --json | jq '.services[] | select(.state != \"up\")'

Exit codes: 0 no service is down; 1 a service is down, or no response; 2 errors in the command.")]
pub(crate) struct Status {
    /// Address of the balancer: that of `serve --admin`, or a public host. The path
    /// /__balancer/status.json is added, unless the URL has a path.
    #[arg(value_name = "URL", default_value = Target::DEFAULT)]
    url: String,

    /// Repeat every 2 s, until the command is interrupted.
    #[arg(long)]
    watch: bool,

    /// Print the JSON of the response.
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    /// File with the token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Status {
    /// The time between two requests of --watch.
    const INTERVAL: Duration = Duration::from_secs(2);

    pub(crate) fn run(self) -> ExitCode {
        // clap would print a URL with a password.
        let target = Target::parse(&self.url, &STATUS).map_err(|error| format!("error: invalid URL: {error}"));
        let api = match target.and_then(|target| Api::new(&STATUS, target, self.token_file.as_deref())) {
            Ok(api) => api,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        if self.watch {
            return watch(&api);
        }
        let report = match api.get("", &[]) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("{}", output::escaped(&error));
                return ExitCode::FAILURE;
            }
        };
        let text = if self.json { format!("{report:#}\n") } else { text::report(&report) };
        let printed = output::print_escaped(&text);
        if has_down(&report) { ExitCode::FAILURE } else { printed }
    }
}

/// Prints the state again and again. Errors are printed in its place, and do not end it.
fn watch(api: &Api) -> ExitCode {
    /// Moves the cursor to the start of the screen, and clears the rest of each line and the rest.
    const HOME: &str = "\x1b[H";
    const CLEAR_LINE: &str = "\x1b[K\n";
    const CLEAR_REST: &str = "\x1b[J";

    loop {
        let text = match api.get("", &[]) {
            Ok(report) => text::report(&report),
            Err(error) => error + "\n",
        };
        let text = output::escaped(&text);
        let text = if stdout().is_terminal() {
            format!("{HOME}{}{CLEAR_REST}", text.replace('\n', CLEAR_LINE))
        } else {
            text + "\n"
        };
        if !output::has_reader(&text) {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(Status::INTERVAL);
    }
}

/// Returns whether a service is down.
fn has_down(report: &Value) -> bool {
    list(report, "services").iter().any(|service| service["state"] == "down")
}
