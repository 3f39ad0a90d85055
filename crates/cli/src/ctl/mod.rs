//! `tunnel-balancer ctl`: control of a running balancer.

mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tunnel_balancer_state::control::{Action, Command};

use crate::api::{Api, CONTROL, Target};
use crate::{duration, output};

/// Change servers and services of a running balancer: drain, disable, maintenance, and more.
///
/// Commands go to the admin listener of `tunnel-balancer serve --admin`, or to the Worker. A change
/// lasts until it is cleared, or for the time of --for, and is in the history with its comment. The
/// token is read from BALANCER_CONTROL_TOKEN, unless --token-file is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer ctl status
  tunnel-balancer ctl drain chat.example.com chat-a --for 30m --comment 'new disk'
  tunnel-balancer ctl --url https://chat.example.com maintenance chat.example.com on
  tunnel-balancer ctl clear chat.example.com

Exit codes: 0 done; 1 refused, or no response; 2 errors in the command.")]
pub(crate) struct Ctl {
    #[command(subcommand)]
    command: Request,

    /// Address of the balancer: that of `serve --admin`, or a public host of the Worker. The path
    /// /__balancer/control is added, unless the URL has a path.
    #[arg(long, global = true, value_name = "URL", default_value = Target::DEFAULT)]
    url: String,

    /// File with the token. Default: the environment variable BALANCER_CONTROL_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Print the JSON of the response.
    #[arg(long, global = true)]
    json: bool,
}

/// The requests.
#[derive(Debug, Subcommand)]
enum Request {
    /// Print the state of all servers, and the changes in force.
    Status {
        /// Address of the only service to print, such as chat.example.com or example.com/api.
        service: Option<String>,
    },
    #[command(flatten)]
    Change(Change),
    /// Print what happened: state changes of servers, and changes by operators.
    History {
        /// Address of the only service to print.
        service: Option<String>,
        /// Name of the only server to print.
        server: Option<String>,
        /// Largest number of entries, the newest ones.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
        limit: u32,
    },
}

/// The commands that change something.
#[derive(Debug, Subcommand)]
enum Change {
    /// Send no new clients to a server. Clients with affinity to it stay.
    Drain(ServerChange),
    /// Use a server again. It is also used if the map disables or drains it.
    Enable(ServerChange),
    /// Send no requests and no probes to a server.
    Disable(ServerChange),
    /// Change the share of a server.
    Weight {
        #[command(flatten)]
        server: ServerPlace,
        /// Weight, 0 to 1000. 0: no new traffic.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(Command::MAX_WEIGHT)))]
        weight: u32,
        #[command(flatten)]
        change: Details,
    },
    /// Send all requests to one server, whatever its health is.
    Force(ServerChange),
    /// Let traffic return to the servers that `failback` holds back.
    Failback {
        /// Address of the service.
        service: String,
        #[command(flatten)]
        comment: Comment,
    },
    /// Start or end the maintenance of a service: requests get 503 with its error page.
    Maintenance {
        /// Address of the service.
        service: String,
        /// Whether it starts.
        state: OnOff,
        #[command(flatten)]
        change: Details,
    },
    /// End the changes of a server, or of a service and its servers.
    Clear {
        /// Address of the service.
        #[arg(required_unless_present = "all")]
        service: Option<String>,
        /// Name of the server.
        server: Option<String>,
        /// End the changes of all services.
        #[arg(long, conflicts_with = "service")]
        all: bool,
        #[command(flatten)]
        comment: Comment,
    },
}

#[derive(Args, Debug)]
struct ServerPlace {
    /// Address of the service, such as chat.example.com or example.com/api.
    service: String,
    /// Name of the server.
    server: String,
}

#[derive(Args, Debug)]
struct ServerChange {
    #[command(flatten)]
    server: ServerPlace,
    #[command(flatten)]
    change: Details,
}

#[derive(Args, Debug)]
struct Details {
    /// End the change after this time, such as 30m or 2h. Default: it lasts until it is cleared.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    #[command(flatten)]
    comment: Comment,
}

#[derive(Args, Debug)]
struct Comment {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnOff {
    On,
    Off,
}

impl Ctl {
    pub(crate) fn run(self) -> ExitCode {
        // clap would print a URL with a password.
        let target = Target::parse(&self.url, &CONTROL).map_err(|error| format!("error: invalid --url: {error}"));
        let api = match target.and_then(|target| Api::new(&CONTROL, target, self.token_file.as_deref())) {
            Ok(api) => api,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let (response, print): (_, fn(&serde_json::Value, &Filter) -> String) = match &self.command {
            Request::Status { .. } => (api.get("", &[]), text::status),
            Request::History { service, server, limit } => {
                let limit = limit.to_string();
                let parameters = [("service", service.as_ref()), ("server", server.as_ref()), ("limit", Some(&limit))];
                (api.get("/history", &parameters), text::history)
            }
            Request::Change(change) => (api.post(&change.command()), text::changed),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                eprintln!("{}", output::escaped(&error));
                return ExitCode::FAILURE;
            }
        };
        let filter = Filter { service: self.command.service().map(str::to_owned) };
        if let Some(warning) = response.get("warning").and_then(serde_json::Value::as_str) {
            eprintln!("warning: {}", output::escaped(warning));
        }
        if self.json {
            return output::print_escaped(&format!("{response:#}\n"));
        }
        if let (Request::Status { .. }, Some(service)) = (&self.command, &filter.service)
            && !text::has_service(&response, service)
        {
            eprintln!("error: unknown service `{}`", output::escaped(service));
            return ExitCode::FAILURE;
        }
        output::print_escaped(&print(&response, &filter))
    }
}

/// What is printed of a response.
struct Filter {
    service: Option<String>,
}

impl Request {
    fn service(&self) -> Option<&str> {
        match self {
            Self::Status { service } => service.as_deref(),
            _ => None,
        }
    }
}

impl Change {
    fn command(&self) -> Command {
        let of_server = |action, it: &ServerChange| Command {
            server: Some(it.server.server.clone()),
            ..it.change.command(action, &it.server.service)
        };
        match self {
            Self::Drain(it) => of_server(Action::Drain, it),
            Self::Enable(it) => of_server(Action::Enable, it),
            Self::Disable(it) => of_server(Action::Disable, it),
            Self::Force(it) => of_server(Action::Force, it),
            Self::Weight { server, weight, change } => Command {
                server: Some(server.server.clone()),
                weight: Some(*weight),
                ..change.command(Action::Weight, &server.service)
            },
            Self::Failback { service, comment } => {
                Command { service: Some(service.clone()), ..comment.command(Action::Failback) }
            }
            Self::Maintenance { service, state, change } => {
                Command { on: Some(matches!(state, OnOff::On)), ..change.command(Action::Maintenance, service) }
            }
            Self::Clear { service, server, comment, .. } => {
                Command { service: service.clone(), server: server.clone(), ..comment.command(Action::Clear) }
            }
        }
    }
}

impl Details {
    fn command(&self, action: Action, service: &str) -> Command {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Command {
            service: Some(service.to_owned()),
            duration_ms: self.duration.map(millis),
            ..self.comment.command(action)
        }
    }
}

impl Comment {
    fn command(&self, action: Action) -> Command {
        Command { comment: self.comment.clone(), origin: Some(origin()), ..Command::new(action) }
    }
}

/// Returns the user and the name of this machine.
fn origin() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "ctl".to_owned());
    let machine = gethostname::gethostname().to_string_lossy().into_owned();
    let origin = format!("{user}@{machine}");
    origin.chars().filter(|c| !c.is_control()).take(Command::MAX_ORIGIN).collect()
}

fn time(text: &str) -> Result<Duration, String> {
    let (least, most) = (Command::DURATIONS.start(), Command::DURATIONS.end());
    let range = Duration::from_millis(*least)..=Duration::from_millis(*most);
    duration::within(text, range, "expected a duration from 1s to 720h, such as 30m or 2h")
}
