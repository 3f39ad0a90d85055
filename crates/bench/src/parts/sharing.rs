//! CPU time of requests through the Worker with each mode of shared health, on miniflare, which has
//! Durable Objects, KV and caches.

use std::net::SocketAddr;

use serde_json::json;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};

use crate::load::{Load, Origin, get};
use crate::options::Options;
use crate::parts::configuration::services;
use crate::parts::in_turns;
use crate::sheet::{Metric, Sheet};
use crate::{Result, process};

const CPU: Metric = Metric::lower("CPU per request", "µs");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[CPU];

/// The modes and their bindings. The first one, which shares nothing, is what the others are
/// compared to.
const MODES: [(&str, &[&str]); 5] =
    [("isolate", &[]), ("colo", &[]), ("kv", &["kv"]), ("durable_object", &["object"]), ("monitor", &["kv"])];

const CONNECTIONS: usize = 8;
/// Seconds, so that a round has its share of reads and probes, which depend on the time.
const REQUESTS: usize = 5000;
/// Requests before the first round, until V8 has optimized the code.
const WARM_UP: usize = 3000;

/// A mode in a process of its own.
struct Subject {
    mode: &'static str,
    miniflare: Miniflare,
    load: Load,
}

/// Measures all modes in turns. The CPU time is that of miniflare, with all that a mode does beside
/// requests.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let origin = Origin::start()?;
    let mut subjects = Vec::new();
    for (mode, bindings) in MODES {
        subjects.push(Subject::start(mode, bindings, origin, options).await?);
    }
    for round in 0..options.rounds {
        for Subject { mode, miniflare, load } in in_turns(&mut subjects, round) {
            let before = process::cpu(miniflare.id())?;
            load.run().await?;
            let cpu = process::cpu(miniflare.id())?.saturating_sub(before);
            sheet.record(CPU, "GET", mode, cpu.as_secs_f64() * 1e6 / load.requests as f64);
        }
    }
    Ok(())
}

impl Subject {
    async fn start(mode: &'static str, bindings: &[&str], origin: Origin, options: &Options) -> Result<Self> {
        let yaml = services(1, "", &format!("health_sharing: {mode}"), origin);
        let mut worker = Deployment::new("worker", yaml, bindings);
        worker.secrets = json!({ "BALANCER_MONITOR_KEY": "a key of the benchmark" });
        let miniflare = Miniflare::start(&Storage::new(), &[worker]).await;
        let addr: SocketAddr = miniflare.addr("worker");
        let load = Load { addr, request: get("/", ""), connections: CONNECTIONS, requests: options.count(REQUESTS) };
        Load { requests: options.count(WARM_UP), ..load.clone() }.run().await?;
        Ok(Self { mode, miniflare, load })
    }
}
