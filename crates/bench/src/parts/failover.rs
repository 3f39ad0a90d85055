//! One of two servers fails at 200 requests per second: lost requests and latencies.

use std::time::Duration;

use tunnel_balancer_tests::{Action, Client, FaultyServer, Reply, Request};

use crate::Result;
use crate::load::OpenLoop;
use crate::options::Options;
use crate::peers::{Peer, Setup};
use crate::sheet::{Metric, Sheet};

const FAILED: Metric = Metric::lower("failed requests of 1,200", "");
const WORST: Metric = Metric::lower("longest request", "ms");
const P99: Metric = Metric::lower("latency p99", "ms");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[FAILED, WORST, P99];

/// Five seconds after the fault and one before it.
const REQUESTS: usize = 1200;
const PACE: Duration = Duration::from_millis(5);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What happens to the server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Stopped,
    BadGateway,
    Hangs,
}

const FAULTS: [(Fault, &str); 3] =
    [(Fault::Stopped, "stopped"), (Fault::BadGateway, "responds with 502"), (Fault::Hangs, "hangs")];

/// A proxy with its settings.
struct Subject {
    name: String,
    peer: Peer,
    policy: &'static str,
    is_tuned: bool,
}

/// Measures each fault with GET and with POST.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let subjects = subjects(&Peer::available(sheet));
    sheet.note("the first server fails after a sixth of the requests; each request has a connection of its own");
    sheet.note("peers select servers in turns; `tuned` has the settings for failover in crates/bench/peers");
    for method in ["GET", "POST"] {
        for (fault, what) in FAULTS {
            let row = format!("{method}, {what}");
            eprintln!("  {row}");
            for subject in &subjects {
                subject.measure(method, fault, &row, options, sheet).await?;
            }
        }
    }
    Ok(())
}

fn subjects(peers: &[Peer]) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for &peer in peers {
        let mut add = |name: &str, policy, is_tuned| {
            subjects.push(Subject { name: name.to_owned(), peer, policy, is_tuned });
        };
        match peer {
            // It has one server.
            Peer::Hyper => {}
            Peer::Ours => {
                add(peer.name(), "failover", false);
                add("round_robin", "round_robin", false);
            }
            _ => {
                add(peer.name(), "", false);
                add(&format!("{} tuned", peer.name()), "", true);
            }
        }
    }
    subjects
}

impl Subject {
    async fn measure(&self, method: &str, fault: Fault, row: &str, options: &Options, sheet: &mut Sheet) -> Result<()> {
        let (a, b) = (FaultyServer::start("a").await, FaultyServer::start("b").await);
        let servers = [a.addr(), b.addr()];
        let setup = Setup { servers, is_tuned: self.is_tuned, policy: self.policy, ..Setup::single(a.addr()) };
        let running = self.peer.start(&setup).await?;
        let request = if method == "GET" { Request::get("/") } else { Request::post("/", "a small order") };
        let client_timeout = if options.is_smoke { Duration::from_secs(1) } else { CLIENT_TIMEOUT };
        let load = OpenLoop { client: Client::new(running.addr()), request, pace: PACE, client_timeout };
        let count = options.count(REQUESTS);
        // Health checks have run, and connections exist.
        load.run(count / 6).await;
        let mut responses = load.run(count / 6).await;
        match fault {
            Fault::Stopped => a.stop().await,
            Fault::BadGateway => a.outage(Reply::status(502)),
            Fault::Hangs => a.outage(Action::Hang),
        }
        responses.merge(load.run(count - count / 6).await);
        sheet.record(FAILED, row, &self.name, responses.failed as f64);
        sheet.record(WORST, row, &self.name, responses.worst());
        sheet.record(P99, row, &self.name, responses.percentile(0.99));
        Ok(())
    }
}
