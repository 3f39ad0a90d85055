//! `tunnel-balancer probe`: the health checks, run once from here.

use std::io::{self, IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tunnel_balancer_config::normal_address;
use tunnel_balancer_core::Service;
use tunnel_balancer_native::{Look, Looker};

use crate::{input, output};

/// Run the health checks of all servers once from this machine, and say what comes of each.
///
/// It sees what the balancer would see: redirects are not followed, a server's own headers are sent
/// with it. A server that has such headers is asked without them as well: if that passes, its
/// hostname is open to everybody.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer probe
  tunnel-balancer probe chat.example.com --services services.yaml
  ACCESS_ID=… ACCESS_SECRET=… tunnel-balancer probe --json

Exit codes: 0 all pass; 1 some do not, or are open to everybody; 2 mistakes in the file or the command.")]
pub(crate) struct Probe {
    /// Only this service.
    service: Option<String>,

    /// The services and their servers. Secrets come from environment variables.
    #[arg(long, value_name = "FILE", default_value = "services.yaml")]
    services: PathBuf,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Servers asked at a time.
const AT_ONCE: usize = 32;

/// What came of one server's health check.
pub(crate) struct Row {
    pub(crate) service: String,
    pub(crate) server: String,
    url: String,
    /// `None`: it is not checked.
    look: Option<Look>,
}

impl Probe {
    pub(crate) fn run(self) -> ExitCode {
        let services = match self.read() {
            Ok(services) => services,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let rows = match look_at(&services) {
            Ok(rows) => rows,
            Err(error) => {
                eprintln!("error: cannot probe: {error}");
                return ExitCode::FAILURE;
            }
        };
        let said =
            if self.json { format!("{:#}\n", rows.iter().map(Row::json).collect::<Value>()) } else { table(&rows) };
        let printed = output::print(&said);
        let is_fine = |row: &Row| row.look.as_ref().is_none_or(|look| look.fault.is_none() && !look.open);
        if rows.iter().all(is_fine) { printed } else { ExitCode::FAILURE }
    }

    fn read(&self) -> Result<Vec<Service>, String> {
        let path = self.services.display();
        let text = input::yaml(&self.services)?;
        let config = tunnel_balancer_config::parse_with(&text, &|name| std::env::var(name).ok());
        let mut services = config.map_err(|errors| errors.in_file(&path.to_string()).to_string())?.services;
        if let Some(wanted) = &self.service {
            let names = services.iter().map(Service::name).collect::<Vec<_>>().join(", ");
            let wanted = normal_address(wanted).unwrap_or_else(|| wanted.clone());
            services.retain(|service| service.name() == wanted);
            if services.is_empty() {
                return Err(format!("error: {path} has no service {wanted}, but: {names}"));
            }
        }
        Ok(services)
    }
}

/// Runs the health checks of all servers once, in parallel, and shows on a terminal how far it has
/// come.
///
/// # Errors
/// When this machine cannot ask anybody.
pub(crate) fn look_at(services: &[Service]) -> io::Result<Vec<Row>> {
    let (runtime, looker) = (tokio::runtime::Runtime::new()?, Looker::new()?);
    Ok(runtime.block_on(look_at_all(looker, services)))
}

async fn look_at_all(looker: Looker, services: &[Service]) -> Vec<Row> {
    let (mut rows, mut looks) = (Vec::new(), JoinSet::new());
    let room = Arc::new(Semaphore::new(AT_ONCE));
    for service in services {
        for server in service.servers() {
            if let Some(check) = service.health_check.clone().filter(|_| server.enabled) {
                let (place, looker, server, room) = (rows.len(), looker.clone(), server.clone(), Arc::clone(&room));
                looks.spawn(async move {
                    // Never closed.
                    let _room = room.acquire().await;
                    (place, looker.look(&server, &check).await)
                });
            }
            let url = server.url.to_string();
            rows.push(Row { service: service.name(), server: server.name.clone(), url, look: None });
        }
    }
    let (all, mut done) = (looks.len(), 0);
    while let Some(look) = looks.join_next().await {
        done += 1;
        if stderr().is_terminal() {
            eprint!("\r{done} of {all} servers asked{}", if done == all { "\r\x1b[K" } else { "" });
        }
        if let Ok((place, look)) = look {
            rows[place].look = Some(look);
        }
    }
    rows
}

impl Row {
    /// Why the health check does not pass, if it was run and does not.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.look.as_ref()?.fault.as_deref()
    }

    /// Where the answer leads, if it is a redirect with which the health check passes.
    pub(crate) fn passing_redirect(&self) -> Option<String> {
        let look = self.look.as_ref().filter(|look| look.fault.is_none())?;
        look.location.as_deref().map(printable)
    }

    fn verdict(&self) -> String {
        let Some(look) = &self.look else { return "not checked".to_owned() };
        let verdict = match (&look.fault, self.passing_redirect()) {
            (Some(fault), _) => format!("unhealthy: {fault}"),
            (None, Some(to)) => format!("healthy; it redirects to {to}"),
            (None, None) => "healthy".to_owned(),
        };
        if look.open { verdict + "; OPEN: it answers without its own headers, too" } else { verdict }
    }

    fn json(&self) -> Value {
        let look = self.look.as_ref();
        json!({
            "service": self.service,
            "server": self.server,
            "url": self.url,
            "checked": look.is_some(),
            "status": look.and_then(|look| look.status),
            "ms": look.map(|look| look.took.as_millis() as u64),
            "healthy": look.map(|look| look.fault.is_none()),
            "fault": look.and_then(|look| look.fault.as_ref()),
            "redirects_to": look.and_then(|look| look.location.as_ref()),
            "open": look.map(|look| look.open),
        })
    }
}

/// What a server says, without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn table(rows: &[Row]) -> String {
    let head = ["SERVICE", "SERVER", "STATUS", "TIME", "VERDICT"].map(str::to_owned);
    let mut lines = vec![head];
    let mut last = "";
    for row in rows {
        let look = row.look.as_ref();
        lines.push([
            if row.service == last { String::new() } else { row.service.clone() },
            row.server.clone(),
            look.and_then(|look| look.status).map_or_else(|| "-".to_owned(), |status| status.to_string()),
            look.map_or_else(|| "-".to_owned(), |look| format!("{} ms", look.took.as_millis())),
            row.verdict(),
        ]);
        last = &row.service;
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |line: &[String; 5]| {
        let [service, server, status, time, verdict] = line;
        let [a, b, c, d] = widths;
        format!("{service:a$}  {server:b$}  {status:>c$}  {time:>d$}  {verdict}\n")
    };
    lines.iter().map(line).collect()
}
