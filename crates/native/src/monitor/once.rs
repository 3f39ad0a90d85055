//! Every health check once, for a monitor that runs at times.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tunnel_balancer_core::{
    Clock as _, Failure, HealthCheck, LogEntry, ProbeResult, Server, ServerId, UpstreamError as _,
};

use crate::log;
use crate::proxy::Proxy;
use crate::upstream::Servers;

/// Servers that are probed at the same time. Each may use two file descriptors, of which 1024 are a
/// usual limit.
const CONCURRENCY: usize = 256;

/// The time between two probes of a server.
const PAUSE: Duration = Duration::from_secs(1);

/// Probes all servers until each is known to be healthy or not, and records the results.
pub(super) async fn probe_all(proxy: &Arc<Proxy>) {
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut pools = JoinSet::new();
    for pool in proxy.services().pools() {
        pools.spawn(probe_pool(proxy.servers(pool), Arc::clone(&permits)));
    }
    pools.join_all().await;
}

async fn probe_pool(servers: Servers, permits: Arc<Semaphore>) {
    let service = servers.pool().service();
    let mut probes = JoinSet::new();
    for (id, server) in service.all().iter().zip(service.servers()) {
        if let Some(check) = service.health_check_of(id).cloned().filter(|_| server.enabled) {
            let (servers, server, permits) = (servers.clone(), server.clone(), Arc::clone(&permits));
            probes.spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                (id, decide(&servers, &server, &check).await)
            });
        }
    }
    record(&servers, probes.join_all().await);
}

/// Probes a server until `rise` probes in a row passed or `fall` failed, and returns the last
/// result. If results alternate, the last one decides.
async fn decide(servers: &Servers, server: &Server, check: &HealthCheck) -> ProbeResult {
    let (mut streak, mut last_passed) = (0, None);
    let mut probes = 1;
    loop {
        let result = probe(servers, server, check).await;
        let passed = check.evaluate(&result).is_ok();
        streak = if last_passed == Some(passed) { streak + 1 } else { 1 };
        last_passed = Some(passed);
        let needed = if passed { check.rise } else { check.fall };
        if streak >= needed || probes >= check.rise.saturating_add(check.fall) {
            return result;
        }
        probes += 1;
        sleep(PAUSE).await;
    }
}

async fn probe(servers: &Servers, server: &Server, check: &HealthCheck) -> ProbeResult {
    let service = servers.pool().service();
    let probed = timeout(check.timeout, servers.connections().probe_once(server, check, &service.host)).await;
    let Ok(probed) = probed else { return Err(Failure::Timeout) };
    probed.map_err(|error| {
        let (failure, detail) = (error.failure(), error.detail());
        log::emit(&LogEntry::probe_failed(service, &server.name, false, failure, detail));
        failure
    })
}

/// Records the results as if they were those of single probes: of a server of which nothing is
/// known, the first one decides.
fn record(servers: &Servers, mut results: Vec<(ServerId, ProbeResult)>) {
    let now = servers.clock().now();
    servers.pool().update(|state| {
        for _ in 0..results.len() {
            let Some(lease) = state.next_probe(now) else { break };
            match results.iter().position(|(id, _)| *id == lease.server()) {
                Some(index) => state.on_probe(lease, &results.swap_remove(index).1, now),
                None => state.release_lease(lease),
            }
        }
    });
    servers.transitions.emit(servers.pool());
}
