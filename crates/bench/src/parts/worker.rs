//! CPU time and latency of requests through the Worker, beside scripts in JavaScript.

use std::fs;
use std::net::SocketAddr;

use tunnel_balancer_tests::client::Client;
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::workerd::{BuiltWorker, Process};

use crate::load::{Load, Origin, get, post};
use crate::options::Options;
use crate::parts::configuration::services;
use crate::parts::in_turns;
use crate::sheet::{Metric, OURS, Sheet};
use crate::{Result, process, root};

const CPU: Metric = Metric::lower("CPU per request", "µs");
const P50: Metric = Metric::lower("latency p50", "µs");
const P99: Metric = Metric::lower("latency p99", "µs");
const RATE: Metric = Metric::higher("requests per second", "/s");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[CPU, P50, P99, RATE];

/// The failover script, to which the Worker is compared.
pub(crate) const SCRIPT: &str = "script";
/// The minimal proxy in JavaScript.
pub(crate) const MINIMAL: &str = "minimal";
/// The Worker of the checkout that `--beside` names.
const BESIDE: &str = "other build";

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 1500;
/// Requests before the first round, until V8 has optimized the code.
const WARM_UP: usize = 3000;

/// A running Worker.
struct Subject {
    name: &'static str,
    process: Process,
    load: Load,
}

/// A row: the request, and the configuration of the Worker. The scripts have none of its features,
/// and run the same request.
struct Case {
    name: &'static str,
    request: Request,
    services: usize,
    /// Settings of each service.
    settings: &'static str,
    /// Settings of the whole file.
    global: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Get,
    GetLarge,
    Post,
    /// With the affinity cookie of an earlier response.
    GetWithCookie,
}

impl Case {
    const fn new(name: &'static str, request: Request) -> Self {
        Self { name, request, services: 1, settings: "", global: "" }
    }

    const fn services(self, services: usize) -> Self {
        Self { services, ..self }
    }

    const fn settings(self, settings: &'static str) -> Self {
        Self { settings, ..self }
    }

    const fn global(self, global: &'static str) -> Self {
        Self { global, ..self }
    }
}

const CASES: [Case; 9] = [
    Case::new("GET", Request::Get),
    Case::new("GET, 64 KiB", Request::GetLarge),
    Case::new("POST, 1 KiB", Request::Post),
    Case::new("GET, 20 services", Request::Get).services(20),
    Case::new("GET, 200 services", Request::Get).services(200),
    Case::new("GET, no hedging", Request::Get).settings("retry: { hedge: false }"),
    Case::new("GET, affinity", Request::GetWithCookie).settings("affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }"),
    Case::new("GET, status page", Request::Get).global("status: { public: true }"),
    Case::new("GET, shared health", Request::Get).global("health_sharing: colo"),
];

/// Measures all cases on the workerd of wrangler and on the newest.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let origin = Origin::start()?;
    for (workerd, suffix) in [(BuiltWorker::find()?, ""), (BuiltWorker::find_newest()?, " (newest workerd)")] {
        sheet.note(format!("{}{suffix}", workerd.version()?));
        for case in &CASES {
            let row = format!("{}{suffix}", case.name);
            eprintln!("  {row}");
            let mut subjects = Vec::new();
            for (name, program) in programs(&workerd, origin, options)? {
                let yaml = services(case.services, case.settings, case.global, origin);
                let (addr, process) = program.start(&workerd, &yaml).await?;
                subjects.push(warm_up(name, addr, process, case, options).await?);
            }
            for round in 0..options.rounds {
                for subject in in_turns(&mut subjects, round) {
                    let before = process::cpu(subject.process.id())?;
                    let mut outcome = subject.load.run().await?;
                    let cpu = process::cpu(subject.process.id())? - before;
                    let requests = subject.load.requests as f64;
                    sheet.record(CPU, &row, subject.name, cpu.as_secs_f64() * 1e6 / requests);
                    sheet.record(P50, &row, subject.name, outcome.percentile(0.5));
                    sheet.record(P99, &row, subject.name, outcome.percentile(0.99));
                    sheet.record(RATE, &row, subject.name, outcome.rate());
                }
            }
        }
    }
    Ok(())
}

/// A program on workerd.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The Worker, with the configuration of a case.
    Worker(BuiltWorker),
    /// A script.
    Script(String),
}

impl Program {
    /// Reads a script, and gives it the address of the server.
    pub(crate) fn script(name: &str, origin: Origin) -> Result<Self> {
        let path = root().join(format!("crates/bench/workers/{name}.js"));
        let script = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let script = script.replace("https://service-primary.example.com", &origin.url());
        Ok(Self::Script(script.replace("https://service-replica.example.com", &origin.url())))
    }

    /// Starts it. A script has no configuration.
    pub(crate) async fn start(&self, workerd: &BuiltWorker, yaml: &str) -> Result<(SocketAddr, Process)> {
        match self {
            Self::Worker(worker) => worker.start(yaml, 0, &Log::default()).await,
            Self::Script(script) => workerd.start_script(script, &Log::default()).await,
        }
    }
}

fn programs(workerd: &BuiltWorker, origin: Origin, options: &Options) -> Result<Vec<(&'static str, Program)>> {
    // As wrangler passes the configuration.
    let worker = workerd.clone().with_cache().with_module();
    let mut programs = vec![
        (OURS, Program::Worker(worker.clone())),
        (SCRIPT, Program::script(SCRIPT, origin)?),
        (MINIMAL, Program::script(MINIMAL, origin)?),
    ];
    let beside = options.beside.as_deref().map(|checkout| Program::Worker(worker.of_checkout(checkout)));
    programs.extend(beside.map(|program| (BESIDE, program)));
    Ok(programs)
}

/// Sends requests until the code of a program is optimized.
async fn warm_up(
    name: &'static str,
    addr: SocketAddr,
    process: Process,
    case: &Case,
    options: &Options,
) -> Result<Subject> {
    let request = match case.request {
        Request::Get => get("/", ""),
        Request::GetLarge => get("/large", ""),
        Request::Post => post("/", 1024),
        Request::GetWithCookie => get("/", &cookie(&Client::new(addr)).await),
    };
    let load = Load { addr, request, connections: CONNECTIONS, requests: options.count(REQUESTS) };
    Load { requests: options.count(WARM_UP), ..load.clone() }.run().await?;
    Ok(Subject { name, process, load })
}

/// Returns the line with the cookies that a response sets. The scripts set none.
async fn cookie(client: &Client) -> String {
    let response = client.get("/").await;
    let pair = response.header("Set-Cookie").and_then(|cookie| cookie.split(';').next());
    format!("Cookie: session=0123456789abcdef; {}\r\n", pair.unwrap_or("theme=dark"))
}
