//! Hours of mixed load with faults and reloads, in one process of each host: memory and descriptors
//! stay flat.

use std::time::{Duration, Instant};

use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::workerd::BuiltWorker;
use tunnel_balancer_tests::{Action, Client, FaultyServer, Reply, Request};

use crate::load::OpenLoop;
use crate::options::Options;
use crate::peers::{Peer, Setup};
use crate::sheet::{Metric, Sheet};
use crate::{Result, process};

const MEMORY: Metric = Metric::lower("memory", "MiB");
const DESCRIPTORS: Metric = Metric::lower("descriptors", "");
const FAILED: Metric = Metric::lower("failed requests", "%");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[MEMORY, DESCRIPTORS, FAILED];

/// The columns: the load before the first of them lets caches and pools grow.
const FIRST: &str = "first half";
const SECOND: &str = "second half";

const SERVICES: usize = 50;
const PACE: Duration = Duration::from_millis(25);
/// The requests between two changes of the servers: five seconds.
const REQUESTS: usize = 200;

/// A host under load.
struct Host {
    row: &'static str,
    client: Client,
    pid: u32,
}

/// Runs the load on all hosts at the same time.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let (a, b) = (FaultyServer::start("a").await, FaultyServer::start("b").await);
    sheet.note(format!(
        "{} minutes, 40 requests per second to each host, a fault or a reload every 5 s",
        options.minutes
    ));
    let running = Peer::Ours.start(&Setup::single(a.addr()).with_yaml(configuration(&a, &b, 0))).await?;
    let mut hosts = vec![Host { row: "serve", client: Client::new(running.addr()), pid: running.id() }];
    let mut workers = Vec::new();
    for (row, workerd) in [("Worker", BuiltWorker::find()?), ("Worker (newest workerd)", BuiltWorker::find_newest()?)] {
        let (addr, process) = workerd.start(&configuration(&a, &b, 0), 0, &Log::default()).await?;
        hosts.push(Host { row, client: Client::new(addr), pid: process.id() });
        workers.push(process);
    }
    let end = Duration::from_secs(options.minutes * 60).max(Duration::from_secs(3));
    let start = Instant::now();
    let mut step = 0;
    while start.elapsed() < end || step < 3 {
        match step % 6 {
            1 => a.outage(Reply::status(502)),
            2 => a.outage(Action::Hang),
            3 => b.outage(Reply::status(530)),
            4 => running.replace_configuration(&configuration(&a, &b, step))?,
            _ => {}
        }
        let count = options.count(REQUESTS);
        let start_load = |host: &Host| {
            let load = host.load(step);
            tokio::spawn(async move { load.run(count).await })
        };
        let loads: Vec<_> = hosts.iter().map(|host| (host, start_load(host))).collect();
        let mut responses = Vec::new();
        for (host, load) in loads {
            responses.push((host, load.await.map_err(|error| error.to_string())?));
        }
        for server in [&a, &b] {
            server.recover();
            server.forget();
        }
        running.empty_logs();
        step += 1;
        let passed = start.elapsed().as_secs_f64() / end.as_secs_f64();
        for (host, responses) in responses {
            // The first fifth is not measured.
            if passed < 0.2 && !options.is_smoke {
                continue;
            }
            let column = if passed < 0.6 { FIRST } else { SECOND };
            sheet.record(MEMORY, host.row, column, process::resident_memory(host.pid)? as f64 / 1_048_576.0);
            sheet.record(DESCRIPTORS, host.row, column, process::descriptors(host.pid)? as f64);
            let failed = responses.failed as f64 * 100.0 / count as f64;
            sheet.record(FAILED, host.row, column, failed);
        }
    }
    Ok(())
}

impl Host {
    /// Returns the load of a step: reads and writes, with paths and services that vary.
    fn load(&self, step: usize) -> OpenLoop {
        let path = format!("/page-{step}?q={step}");
        let request =
            if step.is_multiple_of(3) { Request::post(&path, vec![b'x'; 10_000]) } else { Request::get(&path) };
        let request = request.host(&format!("app-{}.test", step % SERVICES));
        let request = request.header("CF-Connecting-IP", &format!("203.0.113.{}", step % 250));
        OpenLoop { client: self.client, request, pace: PACE, client_timeout: Duration::from_secs(2) }
    }
}

/// Returns the configuration of a step, in which a timeout changes with each reload.
fn configuration(a: &FaultyServer, b: &FaultyServer, step: usize) -> String {
    let service = |index| {
        format!(
            "  app-{index}.test:\n    servers: [{{ url: \"{}\", name: a }}, {{ url: \"{}\", name: b }}]\n    \
             health_check: {{ path: /__health, interval: 5s }}\n    retry: {{ timeout: {}s }}\n",
            a.url(),
            b.url(),
            60 + step % 7
        )
    };
    std::iter::once("services:\n".to_owned()).chain((0..SERVICES).map(service)).collect()
}
