//! The state of a pool behind a lock, for the requests of a process.

use std::sync::{Arc, Mutex, PoisonError};

use super::PoolState;
use crate::server_set::ServerId;
use crate::service::{AffinityTokens, Server, ServerUrlError, Service, ServiceError};

/// One service's live state, shared by its requests.
#[derive(Debug)]
pub struct Pool {
    pub(super) service: Arc<Service>,
    pub(super) tokens: Option<AffinityTokens>,
    pub(super) state: Mutex<PoolState>,
}

impl Pool {
    /// Creates a pool without state. `seed` decides everything that is random: selections, and the
    /// jitter of probes. Pools with equal seeds that are used equally decide equally, which a test
    /// needs. Processes with the same servers should have different seeds, such as random ones, so
    /// that they do not all select the same server.
    pub fn new(service: Service, seed: u64) -> Self {
        let service = Arc::new(service);
        let tokens =
            service.affinity.as_ref().map(|affinity| AffinityTokens::new(affinity, &service.name(), service.servers()));
        Self { state: Mutex::new(PoolState::new(Arc::clone(&service), seed)), tokens, service }
    }

    /// Creates a pool of the servers at these addresses, with default settings: failover in the
    /// order of the list, probes, ejection and retries. The seed is 0. [`Service::of`] and
    /// [`Pool::new`] create one with other settings.
    ///
    /// ```
    /// use tunnel_balancer_core::Pool;
    ///
    /// let pool = Pool::of(["https://a.example.com", "https://b.example.com"])?;
    /// assert_eq!(pool.service().servers().len(), 2);
    /// # Ok::<(), tunnel_balancer_core::ServiceError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no server, or an address is invalid.
    pub fn of<S>(servers: impl IntoIterator<Item = S>) -> Result<Self, ServiceError>
    where
        S: TryInto<Server>,
        ServerUrlError: From<S::Error>,
    {
        Ok(Self::new(Service::of("default", servers)?, 0))
    }

    /// Returns the configuration, without the changes at run time that [`PoolState`] has.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Runs `f` on the state. Not re-entrant: `f` must not call back into the pool, nor drop a
    /// [`Reservation`](crate::Reservation) of it. Both would wait forever.
    pub fn update<T>(&self, f: impl FnOnce(&mut PoolState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the server that a client's `Cookie` header names, with affinity.
    pub fn affinity_server(&self, cookies: &str) -> Option<ServerId> {
        let affinity = self.service.affinity.as_ref()?;
        self.tokens.as_ref()?.read(affinity, cookies)
    }

    /// Returns the `Set-Cookie` for a client that was served by `server`, if it needs one.
    /// `current` is what [`affinity_server`](Self::affinity_server) returned.
    pub fn affinity_cookie(&self, server: ServerId, current: Option<ServerId>, https: bool) -> Option<String> {
        let affinity = self.service.affinity.as_ref()?;
        // A client of a server that is held back returns to it later.
        let keeps = |id: ServerId| id == server || self.update(|state| state.is_awaiting_failback(id));
        if current.is_some_and(keeps) {
            return None;
        }
        self.tokens.as_ref()?.write(affinity, server, https)
    }
}
