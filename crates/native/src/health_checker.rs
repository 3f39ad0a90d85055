//! Scheduled probes that do not depend on traffic.

use std::sync::Arc;

use tokio::task::JoinSet;
use tunnel_balancer_core as core;

use crate::proxy::Proxy;

/// Probes the servers of one configuration until it is dropped.
#[derive(Debug)]
#[must_use = "probing stops when this is dropped"]
pub struct HealthChecker(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

impl HealthChecker {
    /// Starts to probe the servers of the current services.
    pub(crate) fn start(proxy: &Arc<Proxy>) -> Self {
        let mut checks = JoinSet::new();
        for pool in proxy.services().pools() {
            let (servers, ready) = (proxy.servers(pool), proxy.ready_to_probe());
            checks.spawn(async move {
                ready.cancelled().await;
                core::keep_probing(servers.pool(), &servers, servers.clock()).await;
            });
        }
        Self(checks)
    }
}
