//! Changes of servers at run time.
//!
//! They apply to one pool until it is reconfigured. A host that keeps the changes of operators
//! makes another service of them instead, and [reconfigures](super::Pool::reconfigured) its pools:
//! see the crate `tunnel-balancer-state`.

use std::sync::Arc;

use super::PoolState;
use super::index::ServerIndex;
use crate::server_set::ServerId;
use crate::service::{Server, limits};
use crate::time::Timestamp;

impl PoolState {
    /// Starts or ends the draining of a server: it keeps the clients that affinity gave it, and
    /// gets no new ones. Requests in flight are not affected.
    pub fn set_drain(&mut self, id: ServerId, drain: bool, now: Timestamp) {
        self.change_server(id, now, |server| server.drain = drain);
    }

    /// Starts or ends the use of a server. A disabled one gets neither requests nor probes.
    /// Requests in flight are not affected.
    pub fn set_enabled(&mut self, id: ServerId, enabled: bool, now: Timestamp) {
        self.change_server(id, now, |server| server.enabled = enabled);
    }

    /// Changes the share of the traffic of a server: see [`Server::weight`]. A larger weight than
    /// 1000 counts as 1000.
    pub fn set_weight(&mut self, id: ServerId, weight: u32, now: Timestamp) {
        self.change_server(id, now, |server| server.weight = weight.min(*limits::WEIGHT.end()));
    }

    /// Changes settings of a server on which no state depends.
    fn change_server(&mut self, id: ServerId, now: Timestamp, change: impl FnOnce(&mut Server)) {
        let now = self.advance(now);
        let Some(server) = Arc::make_mut(&mut self.service).servers_mut().get_mut(id.index()) else { return };
        change(server);
        self.selector.set_weights(self.service.servers());
        self.index = ServerIndex::new(&self.service);
        for (id, server) in self.service.all().iter().zip(&self.servers) {
            self.index.reindex(id, server);
        }
        self.state.track(&self.service, &self.index, now);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::pool::{Pool, ServiceState};
    use crate::retry::RequestMeta;
    use crate::server_set::ServerSet;
    use crate::service::{Policy, Service};

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn pool(policy: Policy) -> Pool {
        let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
        Pool::new(service.configure(|service| service.policy = policy).unwrap(), 1)
    }

    /// The servers of four requests.
    fn servers(state: &mut PoolState) -> [usize; 4] {
        let request = RequestMeta::new(Method::GET);
        [(); 4].map(|()| state.pick(ServerSet::EMPTY, &request, NOW).unwrap().server.index())
    }

    #[test]
    fn changes_apply_to_the_next_request() {
        let (pool, a) = (pool(Policy::Failover), ServerId::new(0).unwrap());
        pool.update(|state| {
            assert_eq!(servers(state), [0; 4]);
            state.set_drain(a, true, NOW);
            assert_eq!(servers(state), [1; 4]);
            state.set_drain(a, false, NOW);
            assert_eq!(servers(state), [0; 4]);
            state.set_enabled(a, false, NOW);
            assert_eq!(servers(state), [1; 4]);
            assert!(state.next_probe(NOW).is_some_and(|lease| lease.server().index() == 1));
            assert!(state.next_probe(NOW).is_none(), "a disabled server is not probed");
            state.set_enabled(ServerId::new(1).unwrap(), false, NOW);
            assert_eq!(state.status(NOW).state, ServiceState::Down);
        });
        assert!(pool.service().servers()[0].enabled, "the configuration is unchanged");
    }

    #[test]
    fn weights_change_the_rotation() {
        let b = ServerId::new(1).unwrap();
        pool(Policy::RoundRobin).update(|state| {
            assert_eq!(servers(state), [0, 1, 0, 1]);
            state.set_weight(b, 3, NOW);
            assert_eq!(servers(state), [1, 0, 1, 1]);
            state.set_weight(b, u32::MAX, NOW);
            assert_eq!(state.service().servers()[1].weight, 1000);
        });
    }
}
