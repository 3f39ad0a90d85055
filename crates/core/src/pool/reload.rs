//! A new configuration for a pool that has state already.
//!
//! An edit of the configuration must not make the balancer forget which servers are down: state is
//! carried over for every server that keeps its name and its address. A server that is new, or has
//! moved, starts unknown.

use std::sync::{Arc, Mutex};

use super::{Pool, PoolState};
use crate::drill::{Drill, DrillKind};
use crate::server_set::ServerId;
use crate::service::Server;
use crate::service::Service;
use crate::time::Timestamp;

impl Pool {
    /// Returns a pool for a changed service, with the state of those servers that are still the
    /// same.
    pub fn reconfigured(&self, service: Service, seed: u64, now: Timestamp) -> Self {
        let new = Self::new(service, seed);
        // One lock after the other, never both.
        let previous = self.update(|previous| previous.clone());
        new.update(|state| state.inherit(&previous, now));
        new
    }

    /// Returns a copy for one drilled request. What happens on it has no effect on this pool.
    /// It has no requests in flight, because it would not notice their end.
    pub fn for_drill(&self, drill: Drill, now: Timestamp) -> Self {
        if drill.kind == DrillKind::Force {
            let mut service = self.service.as_ref().clone();
            service.forced = Some(drill.server);
            return self.reconfigured(service, 0, now);
        }
        let mut state = self.update(|state| state.clone());
        state.selector.forget_in_flight();
        Self { service: Arc::clone(&self.service), tokens: self.tokens.clone(), state: Mutex::new(state) }
    }
}

impl PoolState {
    fn inherit(&mut self, previous: &Self, now: Timestamp) {
        // Points in time are those of the previous pool's clock.
        self.time = previous.time;
        self.scope.clone_from(&previous.scope);
        let now = self.advance(now);
        for (index, server) in previous.service.servers().iter().enumerate() {
            let is_same = |other: &Server| other.name == server.name && other.url == server.url;
            let Some(place) = self.service.servers().iter().position(is_same) else { continue };
            let (Some(id), Some(previous_id)) = (ServerId::new(place), ServerId::new(index)) else { continue };
            let (Some(known), Some(state)) = (previous.servers.get(index), self.servers.get_mut(place)) else {
                continue;
            };
            let same_check = self.service.health_check_of(id) == previous.service.health_check_of(previous_id);
            *state = known.inherited(same_check, &self.service, id, now);
            self.index.reindex(id, state);
            self.selector.inherit(id, &previous.selector, previous_id);
        }
        self.budget = previous.budget;
        self.requests = previous.requests.inherited();
        self.state = previous.state;
        self.state.track(&self.service, &self.index, now);
    }
}
