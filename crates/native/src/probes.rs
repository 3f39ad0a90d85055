//! Health checks on their schedule, whether there is traffic or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tunnel_balancer_core::{self as core, Clock, Pool};

use crate::proxy::Proxy;
use crate::upstream::Servers;

/// The look-out over the servers of one configuration. Dropping it ends it.
#[derive(Debug)]
#[must_use = "the look-out ends when this is dropped"]
pub struct Watch(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

impl Watch {
    /// Watches the servers of all services as they are now.
    pub(crate) fn over(proxy: &Arc<Proxy>) -> Self {
        let mut watches = JoinSet::new();
        for pool in proxy.services().pools() {
            watches.spawn(watch(Arc::clone(proxy), Arc::clone(pool)));
        }
        Self(watches)
    }
}

impl Proxy {
    /// Starts the probes that are due, beside whatever else goes on.
    pub(crate) fn start_probes(self: &Arc<Self>, pool: &Arc<Pool>) {
        while let Some(lease) = pool.update(|state| state.next_probe(self.clock.now())) {
            let (proxy, pool) = (Arc::clone(self), Arc::clone(pool));
            tokio::spawn(async move {
                let servers = Servers { upstream: proxy.upstream(), pool: &pool, log: &proxy.log };
                core::run_probes(&pool, &servers, &proxy.clock, lease).await;
                proxy.log.changes(&pool);
            });
        }
    }
}

/// Probes that are due while all leases are taken are looked after this often.
const AT_LEAST: Duration = Duration::from_millis(100);

async fn watch(proxy: Arc<Proxy>, pool: Arc<Pool>) {
    loop {
        proxy.start_probes(&pool);
        let now = proxy.clock.now();
        let Some(next) = pool.update(|state| state.next_probe_at(now)) else { return };
        tokio::time::sleep(next.since(now).max(AT_LEAST)).await;
    }
}
