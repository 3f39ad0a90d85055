//! Cost, throughput and latency of `serve` beside other proxies.

use std::time::Duration;

use crate::load::{Load, Origin, get, h2load};
use crate::options::Options;
use crate::parts::in_turns;
use crate::peers::{Peer, Running, Setup, installed};
use crate::sheet::{Metric, Sheet};
use crate::{Result, process};

const CPU: Metric = Metric::lower("CPU per request", "µs");
const RATE: Metric = Metric::higher("requests per second", "/s");
const P50: Metric = Metric::lower("latency p50", "µs");
const P99: Metric = Metric::lower("latency p99", "µs");
const ADDED: Metric = Metric::lower("added latency p50", "µs");
const MEMORY: Metric = Metric::lower("memory per idle connection", "KiB");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[CPU, RATE, P50, P99, ADDED, MEMORY];

/// The column of requests without a proxy.
const DIRECT: &str = "direct";

const REQUESTS: usize = 4000;
const IDLE_CONNECTIONS: usize = 1000;
/// Few starts are enough: memory varies little.
const MEMORY_ROUNDS: usize = 3;

/// A row.
struct Case {
    name: &'static str,
    path: &'static str,
    connections: usize,
    threads: usize,
    has_log: bool,
}

const SMALL: Case = Case { name: "1 connection", path: "/", connections: 1, threads: 1, has_log: true };

const CASES: [Case; 6] = [
    SMALL,
    Case { name: "32 connections", connections: 32, ..SMALL },
    Case { name: "256 connections", connections: 256, ..SMALL },
    Case { name: "32 connections, 64 KiB", path: "/large", connections: 32, ..SMALL },
    Case { name: "32 connections, no access log", connections: 32, has_log: false, ..SMALL },
    Case { name: "32 connections, 2 threads", connections: 32, threads: 2, ..SMALL },
];

const TLS: &str = "HTTP/2 with TLS, 8 connections of 4 streams";

/// Measures all cases.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let origin = Origin::start()?;
    let peers = Peer::available(sheet);
    sheet.note("minimal hyper and Pingora have no access log");
    for case in &CASES {
        eprintln!("  {}", case.name);
        let setup = setup(origin, case.threads, case.has_log, false);
        let mut subjects = start(&peers, &setup).await?;
        for round in 0..options.rounds {
            let load = Load {
                addr: origin.addr(),
                request: get(case.path, ""),
                connections: case.connections,
                requests: options.count(REQUESTS),
            };
            let mut direct = load.run().await?;
            let direct_p50 = direct.percentile(0.5);
            sheet.record(RATE, case.name, DIRECT, direct.rate());
            sheet.record(P50, case.name, DIRECT, direct_p50);
            sheet.record(P99, case.name, DIRECT, direct.percentile(0.99));
            for (peer, running) in in_turns(&mut subjects, round) {
                let load = Load { addr: running.addr(), ..load.clone() };
                if round == 0 {
                    load.run().await?;
                }
                let before = process::cpu(running.id())?;
                let mut outcome = load.run().await?;
                let cpu = process::cpu(running.id())? - before;
                let name = peer.name();
                sheet.record(CPU, case.name, name, cpu.as_secs_f64() * 1e6 / load.requests as f64);
                sheet.record(RATE, case.name, name, outcome.rate());
                sheet.record(P50, case.name, name, outcome.percentile(0.5));
                sheet.record(P99, case.name, name, outcome.percentile(0.99));
                if case.connections == 1 {
                    let added = (outcome.percentile(0.5) - direct_p50).max(0.0);
                    sheet.record(ADDED, case.name, name, added);
                }
                running.empty_logs();
            }
        }
    }
    with_tls(&peers, origin, options, sheet).await?;
    memory(&peers, origin, options, sheet).await
}

fn setup(origin: Origin, threads: usize, has_log: bool, has_tls: bool) -> Setup {
    Setup { threads, has_log, has_tls, ..Setup::single(origin.addr()) }
}

async fn start(peers: &[Peer], setup: &Setup) -> Result<Vec<(Peer, Running)>> {
    let mut subjects = Vec::new();
    for peer in peers {
        subjects.push((*peer, peer.start(setup).await?));
    }
    Ok(subjects)
}

async fn with_tls(peers: &[Peer], origin: Origin, options: &Options, sheet: &mut Sheet) -> Result<()> {
    let program = match installed("h2load") {
        Ok(program) => program,
        Err(reason) => {
            sheet.note(format!("skipped HTTP/2: {reason}"));
            return Ok(());
        }
    };
    eprintln!("  {TLS}");
    let peers: Vec<Peer> = peers.iter().copied().filter(|peer| peer.has_tls()).collect();
    let mut subjects = start(&peers, &setup(origin, 1, true, true)).await?;
    let requests = options.count(REQUESTS);
    for round in 0..options.rounds {
        for (peer, running) in in_turns(&mut subjects, round) {
            if round == 0 {
                h2load(&program, running.tls_port(), requests).await?;
            }
            let before = process::cpu(running.id())?;
            let rate = h2load(&program, running.tls_port(), requests).await?;
            let cpu = process::cpu(running.id())? - before;
            sheet.record(CPU, TLS, peer.name(), cpu.as_secs_f64() * 1e6 / requests as f64);
            sheet.record(RATE, TLS, peer.name(), rate);
            running.empty_logs();
        }
    }
    Ok(())
}

/// Measures the memory of connections that have had one request and are open.
async fn memory(peers: &[Peer], origin: Origin, options: &Options, sheet: &mut Sheet) -> Result<()> {
    let row = "HTTP/1.1";
    eprintln!("  memory of idle connections");
    let connections = options.count(IDLE_CONNECTIONS);
    for _ in 0..options.rounds.min(MEMORY_ROUNDS) {
        for peer in peers {
            let running = peer.start(&setup(origin, 1, true, false)).await?;
            let load = Load { addr: running.addr(), request: get("/", ""), connections: 1, requests: 100 };
            load.run().await?;
            let before = process::resident_memory(running.id())?;
            let idle = load.open_idle(connections).await?;
            // Buffers may be released after a response.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let grown = process::resident_memory(running.id())?.saturating_sub(before);
            drop(idle);
            sheet.record(MEMORY, row, peer.name(), grown as f64 / 1024.0 / connections as f64);
        }
    }
    Ok(())
}
