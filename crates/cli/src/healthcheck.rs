//! `tunnel-balancer healthcheck`: the state of a process, for containers.

use std::process::ExitCode;

use clap::Args;

use crate::api::{Api, HEALTHZ, Target};
use crate::output;

/// Check that a balancer responds, as the health check of a container.
///
/// Prints nothing if it does. The state of servers does not matter: see `status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer healthcheck
  tunnel-balancer healthcheck http://127.0.0.1:8081/__balancer/readyz

Exit codes: 0 it responds; 1 no response, or one with an error; 2 errors in the command.")]
pub(crate) struct Healthcheck {
    /// Address of the balancer: that of `serve --admin`, or a public host. The path
    /// /__balancer/healthz is added, unless the URL has a path.
    #[arg(value_name = "URL", default_value = Target::DEFAULT)]
    url: String,
}

impl Healthcheck {
    pub(crate) fn run(self) -> ExitCode {
        // clap would print a URL with a password.
        let target = Target::parse(&self.url, &HEALTHZ).map_err(|error| format!("error: invalid URL: {error}"));
        let api = match target.and_then(|target| Api::new(&HEALTHZ, target, None)) {
            Ok(api) => api,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        match api.check() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}", output::escaped(&error));
                ExitCode::FAILURE
            }
        }
    }
}
