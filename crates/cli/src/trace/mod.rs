//! `tunnel-balancer trace`: sends one request, and prints the decisions about it.

mod text;

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tunnel_balancer_core::headers::TRACE_HEADER;
use tunnel_balancer_native::ApiResponse;

use crate::client_request::{ClientRequest, parse_url};
use crate::output;
use crate::send::warn_if_insecure;
use crate::token::{STATUS_TOKEN, TOKEN, TokenFile};

pub(crate) use self::text::trace as trace_text;

/// Send one request, and print the decisions about it: candidates, attempts, and why.
///
/// The balancer records its decisions only for a request with the token of the control API or of
/// the status endpoint. It is read from BALANCER_CONTROL_TOKEN or BALANCER_STATUS_TOKEN, unless
/// --token-file is given. The request is a real one: it reaches a server.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer trace https://chat.example.com/rooms
  tunnel-balancer trace chat.example.com --method HEAD --json
  tunnel-balancer trace http://127.0.0.1:8080 --header 'Host: chat.example.com'

Exit codes: 0 a server responded; 1 the balancer replied itself, or there is no trace; 2 errors in
the command.")]
pub(crate) struct Trace {
    /// URL of the request. Default scheme: https.
    url: String,

    #[command(flatten)]
    request: ClientRequest,

    #[command(flatten)]
    token: TokenFile,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Trace {
    pub(crate) fn run(self) -> ExitCode {
        let (url, token) =
            match parse_url(&self.url).and_then(|url| Ok((url, self.token.read(&[TOKEN, STATUS_TOKEN])?))) {
                Ok(read) => read,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::from(2);
                }
            };
        warn_if_insecure(&url);
        let response = self.request.send(&url, TRACE_HEADER, &token);
        match response.and_then(|response| Traced::of(&response)) {
            Ok(traced) => traced.print(&format!("{} {url}", self.request.method), self.json),
            Err(error) => {
                eprintln!("{}", output::escaped(&error));
                ExitCode::FAILURE
            }
        }
    }
}

/// A response with its trace.
pub(crate) struct Traced {
    pub(crate) status: u16,
    pub(crate) trace: Value,
}

impl Traced {
    /// Reads a response.
    ///
    /// # Errors
    /// If it has no trace, for the terminal.
    pub(crate) fn of(response: &ApiResponse) -> Result<Self, String> {
        let status = response.status.as_u16();
        let header = response.headers.get(TRACE_HEADER).and_then(|header| header.to_str().ok());
        let trace = header.and_then(|header| serde_json::from_str(header).ok());
        let trace = trace.ok_or_else(|| {
            format!(
                "error: the response (status {status}) has no trace\n  hint: the token has to be that of the balancer, \
                 and the host that of a service"
            )
        })?;
        Ok(Self { status, trace })
    }

    /// Returns whether a server responded.
    pub(crate) fn is_served(&self) -> bool {
        self.trace["result"] == "served"
    }

    /// Returns the number of attempts.
    pub(crate) fn attempts(&self) -> usize {
        let steps = self.trace["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        steps.iter().filter(|step| step["step"] == "attempt").count()
    }

    /// Prints it. `request` is the method and the URL.
    pub(crate) fn print(&self, request: &str, is_json: bool) -> ExitCode {
        let text = if is_json {
            format!("{:#}\n", json!({ "request": request, "status": self.status, "trace": self.trace }))
        } else {
            format!("{request}\n{}", trace_text(self))
        };
        let printed = output::print_escaped(&text);
        if self.is_served() { printed } else { ExitCode::FAILURE }
    }
}
