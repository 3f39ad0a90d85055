//! `tunnel-balancer probe`: every health check, once from this machine.

use std::io::{self, IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use annotate_snippets::normalize_untrusted_str;
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tunnel_balancer_config::{Errors, Platform, normalize_address, parse_available, parse_with};
use tunnel_balancer_core::{Service, domain_to_ascii};
use tunnel_balancer_native::{ProbeReport, ProbeRunner};

use crate::map_file::{MapFile, hint_for};
use crate::table::table;
use crate::{input, output};

/// Run the health checks of all servers once from this machine, and print the results.
///
/// Probes are sent as the balancer sends them: with the headers of the server, and without
/// following redirects. A server with headers of its own that passes is probed again without them.
/// If it still passes, its hostname is open to the public.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer probe
  tunnel-balancer probe chat.example.com
  ACCESS_ID=… ACCESS_SECRET=… tunnel-balancer probe -f home.yaml --json

Exit codes: 0 all servers pass; 1 a server does not pass, or is open to the public; \
2 errors in the map or in the command.")]
pub(crate) struct Probe {
    /// Public host of the only service to probe.
    service: Option<String>,

    #[command(flatten)]
    map: MapFile,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Probes in flight. Each may use two file descriptors, of which 1024 are a usual limit.
const CONCURRENCY: usize = 256;

/// The time after which progress is printed, and the interval between two lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// The result of one server's health check.
pub(crate) struct Row {
    pub(crate) service: String,
    pub(crate) server: String,
    url: String,
    /// `None`: the server is not probed.
    report: Option<ProbeReport>,
}

impl Probe {
    pub(crate) fn run(self) -> ExitCode {
        let services = match self.services() {
            Ok(services) => services,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let rows = match probe(&services) {
            Ok(rows) => rows,
            Err(error) => {
                eprintln!("error: cannot probe: {error}");
                return ExitCode::FAILURE;
            }
        };
        let text =
            if self.json { format!("{:#}\n", rows.iter().map(Row::json).collect::<Value>()) } else { report(&rows) };
        let printed = output::print_escaped(&text);
        if rows.iter().all(Row::passes) { printed } else { ExitCode::FAILURE }
    }

    fn services(&self) -> Result<Vec<Service>, String> {
        let name = self.map.name();
        let yaml = input::yaml(self.map.path())?;
        let secret = |name: &str| std::env::var(name).ok();
        let rejected = |errors: &Errors| output::rendered(errors, &name, &yaml);
        let Some(wanted) = &self.service else {
            let mut config = parse_with(&yaml, &secret).map_err(|errors| rejected(&errors))?;
            config.resolve_files(self.map.path());
            return Ok(config.services);
        };
        // Secrets of other services are not needed.
        let mut read =
            parse_available(&yaml, Platform::Serve, &secret, &domain_to_ascii).map_err(|errors| rejected(&errors))?;
        read.config.resolve_files(self.map.path());
        let address = normalize_address(wanted).unwrap_or_else(|| wanted.clone());
        if let Some(errors) = read.errors.filter(|_| read.without_secrets.contains(&address)) {
            return Err(rejected(&errors));
        }
        let services = read.config.services;
        let names = services.iter().map(Service::name).chain(read.without_secrets).collect::<Vec<_>>().join(", ");
        let service = services.into_iter().find(|service| service.name() == address);
        service.map(|service| vec![service]).ok_or_else(|| {
            let hint = Some(hint_for(wanted)).filter(|hint| !hint.is_empty());
            let hint = hint.unwrap_or_else(|| format!("\n  hint: expected one of {names}"));
            format!("error: unknown service `{wanted}` in {name}{hint}")
        })
    }
}

/// Runs the health checks of all servers once, at the same time. Returns the results in the order
/// of the services. Prints progress to stderr, on a terminal or if it takes long.
///
/// # Errors
/// If this machine cannot send probes.
pub(crate) fn probe(services: &[Service]) -> io::Result<Vec<Row>> {
    let (runtime, runner) = (tokio::runtime::Runtime::new()?, ProbeRunner::new()?);
    Ok(runtime.block_on(probe_all(runner, services)))
}

async fn probe_all(runner: ProbeRunner, services: &[Service]) -> Vec<Row> {
    let (mut rows, mut probes) = (Vec::new(), JoinSet::new());
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    for service in services {
        for (id, server) in service.all().iter().zip(service.servers()) {
            if let Some(check) = service.health_check_of(id).cloned().filter(|_| server.enabled) {
                let (index, runner, server, permits) =
                    (rows.len(), runner.clone(), server.clone(), Arc::clone(&permits));
                let host = service.host.clone();
                probes.spawn(async move {
                    // The semaphore is never closed.
                    let _permit = permits.acquire().await;
                    (index, runner.run(&server, &check, &host).await)
                });
            }
            let url = server.url.to_string();
            rows.push(Row { service: service.name(), server: server.name.clone(), url, report: None });
        }
    }
    let (all, is_terminal) = (probes.len(), stderr().is_terminal());
    let mut progress = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    loop {
        let done = all - probes.len();
        tokio::select! {
            biased;
            probed = probes.join_next() => match probed {
                None => break,
                Some(Ok((index, report))) => rows[index].report = Some(report),
                Some(Err(_)) => {}
            },
            _ = progress.tick(), if !is_terminal => eprintln!("probed {done} of {all}"),
        }
        if is_terminal {
            let done = all - probes.len();
            eprint!("\rprobed {done} of {all}{}", if done == all { "\r\x1b[K" } else { "" });
        }
    }
    rows
}

impl Row {
    /// Returns why the health check fails, if it was run and fails.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.report.as_ref()?.failure.as_deref()
    }

    /// Returns the target of a redirect with which the health check passes.
    pub(crate) fn passing_redirect(&self) -> Option<String> {
        let report = self.report.as_ref().filter(|report| report.failure.is_none())?;
        report.location.as_deref().map(printable)
    }

    fn passes(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.failure.is_none() && !report.passes_without_headers)
    }

    fn result(&self) -> String {
        let Some(report) = &self.report else { return "not probed".to_owned() };
        let result = match (&report.failure, self.passing_redirect()) {
            (Some(fault), _) => format!("unhealthy: {fault}"),
            (None, Some(location)) => format!("healthy (redirects to {location})"),
            (None, None) => "healthy".to_owned(),
        };
        if report.passes_without_headers { result + "; OPEN: passes without the headers of the server" } else { result }
    }

    fn json(&self) -> Value {
        let report = self.report.as_ref();
        json!({
            "service": self.service,
            "server": self.server,
            "url": self.url,
            "probed": report.is_some(),
            "status": report.and_then(|report| report.status),
            "duration_ms": report.map(|report| report.duration.as_millis() as u64),
            "healthy": report.map(|report| report.failure.is_none()),
            "error": report.and_then(|report| report.failure.as_ref()),
            "location": report.and_then(|report| report.location.as_ref()),
            "open": report.map(|report| report.passes_without_headers),
        })
    }
}

/// Returns the start of a server's string, without characters that control a terminal.
fn printable(text: &str) -> String {
    normalize_untrusted_str(&text.chars().take(200).collect::<String>())
}

fn report(rows: &[Row]) -> String {
    let mut lines = vec![["SERVICE", "SERVER", "STATUS", "TIME", "RESULT"].map(str::to_owned)];
    let mut last = "";
    for row in rows {
        let report = row.report.as_ref();
        lines.push([
            if row.service == last { String::new() } else { row.service.clone() },
            row.server.clone(),
            report.and_then(|report| report.status).map_or_else(|| "-".to_owned(), |status| status.to_string()),
            report.map_or_else(|| "-".to_owned(), |report| format!("{} ms", report.duration.as_millis())),
            row.result(),
        ]);
        last = &row.service;
    }
    table(&lines, &[2, 3])
}
