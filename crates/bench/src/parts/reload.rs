//! Reloads of 1,000 services under load: the latency while the file is applied.

use std::time::Duration;

use tunnel_balancer_tests::{Client, Request};

use crate::Result;
use crate::load::{OpenLoop, Origin};
use crate::options::Options;
use crate::parts::configuration::services;
use crate::peers::{Peer, Setup};
use crate::sheet::{Metric, OURS, Sheet};

const WORST: Metric = Metric::lower("longest request", "ms");
const P99: Metric = Metric::lower("latency p99", "ms");
const FAILED: Metric = Metric::lower("failed requests", "");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[WORST, P99, FAILED];

const SERVICES: usize = 1000;
/// At 2 ms each: three seconds. `serve` applies a change that is the same in two polls, of which it
/// makes one per second.
const REQUESTS: usize = 1500;

/// Measures rounds with and without a reload in turns, in one process.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let origin = Origin::start()?;
    let yaml = |round: usize| {
        let timeout = format!("health_check: false\n    retry: {{ timeout: {}s }}", 60 + round % 2);
        services(SERVICES, &timeout, "", origin)
    };
    let running = Peer::Ours.start(&Setup::single(origin.addr()).with_yaml(yaml(0))).await?;
    let (client, request) = (Client::new(running.addr()), Request::get("/"));
    let (pace, client_timeout) = (Duration::from_millis(2), Duration::from_secs(10));
    let load = OpenLoop { client, request, pace, client_timeout };
    load.run(options.count(REQUESTS)).await;
    for round in 0..options.rounds {
        for (row, is_reloaded) in [("without a reload", false), ("with a reload", true)] {
            let reloads = running.count_in_log("\"event\":\"config_loaded\"");
            if is_reloaded {
                running.replace_configuration(&yaml(round + 1))?;
            }
            let mut responses = load.run(options.count(REQUESTS)).await;
            sheet.record(WORST, row, OURS, responses.worst());
            sheet.record(P99, row, OURS, responses.percentile(0.99));
            sheet.record(FAILED, row, OURS, responses.failed as f64);
            let has_reloaded = running.count_in_log("\"event\":\"config_loaded\"") > reloads;
            if is_reloaded && !has_reloaded && !options.is_smoke {
                return Err("the file was not reloaded during the load".to_owned());
            }
        }
    }
    Ok(())
}
