//! All services of one deployment, and the way from a request to its pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pool::Pool;
use crate::problem::Problem;
use crate::retry::ReplayMemory;
use crate::rng::Rng;
use crate::route::{normal_host, split_url};
use crate::service::Service;

/// The pools of all services by public host.
#[derive(Debug, Default)]
pub struct Services {
    pools: BTreeMap<String, Arc<Pool>>,
    /// The bodies that all services together keep for a replay.
    pub replay: ReplayMemory,
}

/// A request that is for one of our services.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'s, 'u> {
    /// The service's pool.
    pub pool: &'s Arc<Pool>,
    /// `https` or `http`, as the client came.
    pub scheme: &'u str,
    /// Host and port as the client wrote them.
    pub authority: &'u str,
    /// Path and query as the client wrote them.
    pub path_and_query: &'u str,
}

impl Services {
    /// Pools that know nothing yet. `seed` decides everything that is left to chance. Of two services with one host the
    /// last counts; a configuration that was read by `tunnel-balancer-config` has none.
    pub fn new(services: impl IntoIterator<Item = Service>, seed: u64) -> Self {
        let mut seeds = Rng::new(seed);
        let pool = |service: Service| (service.host.clone(), Arc::new(Pool::new(service, seeds.next_u64())));
        Self { pools: services.into_iter().map(pool).collect(), replay: ReplayMemory::default() }
    }

    /// The pool a request for `url` is for. `has_hop` tells whether it carries the header [`HOP`](crate::headers::HOP).
    ///
    /// # Errors
    /// [`Problem::Loop`] for a request that a balancer has sent, [`Problem::UnknownHost`] when no service has its host.
    pub fn admit<'s, 'u>(&'s self, url: &'u str, has_hop: bool) -> Result<Admitted<'s, 'u>, Problem> {
        if has_hop {
            return Err(Problem::Loop);
        }
        let (scheme, authority, path_and_query) = split_url(url).ok_or(Problem::UnknownHost)?;
        let pool = normal_host(authority).and_then(|host| self.pools.get(&host)).ok_or(Problem::UnknownHost)?;
        Ok(Admitted { pool, scheme, authority, path_and_query })
    }

    /// All pools, in the order of their hosts.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }
}
