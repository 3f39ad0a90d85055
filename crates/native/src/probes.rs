//! Health checks on their schedule, whether there is traffic or not.

use std::sync::Arc;

use tokio::task::JoinSet;
use tunnel_balancer_core as core;

use crate::proxy::Proxy;

/// Checks the servers of one configuration. Dropping it stops the checks.
#[derive(Debug)]
#[must_use = "the checks stop when this is dropped"]
pub struct Watch(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

impl Watch {
    /// Checks the servers of all services as they are now.
    pub(crate) fn over(proxy: &Arc<Proxy>) -> Self {
        let mut checks = JoinSet::new();
        for pool in proxy.services().pools() {
            let servers = proxy.servers(pool);
            checks.spawn(async move { core::keep_probing(&servers.pool, &servers, &servers.clock).await });
        }
        Self(checks)
    }
}
