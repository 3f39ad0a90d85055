//! `serve` with 1 to 6,000 services, about as many as a file of 256 KiB can have: memory, and the
//! cost of a request.

use tunnel_balancer_tests::client::HOST;

use crate::load::{Load, Origin, get};
use crate::options::Options;
use crate::parts::in_turns;
use crate::peers::{Peer, Running, Setup};
use crate::sheet::{Metric, OURS, Sheet};
use crate::{Result, process};

const CPU: Metric = Metric::lower("CPU per request", "µs");
const MEMORY: Metric = Metric::lower("memory", "MiB");
const PER_SERVICE: Metric = Metric::lower("memory per service", "KiB");
const START: Metric = Metric::lower("CPU until it listens", "ms");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[CPU, MEMORY, PER_SERVICE, START];

const COUNTS: [(usize, &str); 5] =
    [(1, "1 service"), (10, "10 services"), (100, "100 services"), (1000, "1,000 services"), (6000, "6,000 services")];
const REQUESTS: usize = 4000;

/// Measures processes with all numbers of services in turns. Health checks are off: 6,000 probes
/// every 30 s would be measured with the requests.
pub(crate) async fn measure(options: &Options, sheet: &mut Sheet) -> Result<()> {
    let origin = Origin::start()?;
    sheet.note("requests are for the last service; each has one server; the limit of a file is 256 KiB");
    let mut subjects: Vec<(usize, &str, Running)> = Vec::new();
    let mut memory_of_one = 0.0;
    for (count, row) in COUNTS {
        eprintln!("  {row}");
        let setup = Setup::single(origin.addr()).with_yaml(services(count, origin));
        let running = Peer::Ours.start(&setup).await?;
        sheet.record(START, row, OURS, process::cpu(running.id())?.as_secs_f64() * 1e3);
        let memory = process::resident_memory(running.id())? as f64 / 1024.0;
        sheet.record(MEMORY, row, OURS, memory / 1024.0);
        if count == 1 {
            memory_of_one = memory;
        } else {
            sheet.record(PER_SERVICE, row, OURS, (memory - memory_of_one).max(0.0) / (count - 1) as f64);
        }
        subjects.push((count, row, running));
    }
    for round in 0..options.rounds {
        for (count, row, running) in in_turns(&mut subjects, round) {
            let request = get("/", "").replacen(HOST, &host(*count), 1);
            let load = Load { addr: running.addr(), request, connections: 32, requests: options.count(REQUESTS) };
            if round == 0 {
                load.run().await?;
            }
            let before = process::cpu(running.id())?;
            load.run().await?;
            let cpu = process::cpu(running.id())? - before;
            sheet.record(CPU, row, OURS, cpu.as_secs_f64() * 1e6 / load.requests as f64);
            running.empty_logs();
        }
    }
    Ok(())
}

/// Returns a file with the shortest form of a service.
fn services(count: usize, origin: Origin) -> String {
    let service = |index| format!("  {}: {}\n", host(index), origin.url());
    let head = "defaults: { health_check: false }\nservices:\n".to_owned();
    std::iter::once(head).chain((1..=count).map(service)).collect()
}

fn host(index: usize) -> String {
    format!("a{index}.test")
}
