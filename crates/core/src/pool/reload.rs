//! A new configuration for a pool that has learnt something already.
//!
//! Editing the file must not make the balancer forget which servers are down: what is known is carried over for every server
//! that keeps its name and its address. A server that is new, or has moved, starts unknown.

use crate::pool::health::HealthState;
use crate::pool::probe_schedule::ProbeSchedule;
use crate::pool::{Pool, PoolState};
use crate::server_set::ServerId;
use crate::service::Service;
use crate::time::Timestamp;

impl Pool {
    /// A pool for the service as it is written now, which knows what this one knows of the servers that are still the same.
    pub fn changed(&self, service: Service, seed: u64, now: Timestamp) -> Self {
        let new = Self::new(service, seed);
        // One lock after the other, never both.
        let old = self.update(|old| old.clone());
        new.update(|state| state.take_over(old, now));
        new
    }
}

impl PoolState {
    fn take_over(&mut self, old: Self, now: Timestamp) {
        // What is kept are points in time of the old pool's clock.
        self.time = old.time;
        let now = self.advance(now);
        let same_check = self.service.health_check == old.service.health_check;
        let is_checked = self.service.health_check.is_some();
        for (index, server) in old.service.servers().iter().enumerate() {
            let is_same = |other: &crate::Server| other.name == server.name && other.url == server.url;
            let Some(place) = self.service.servers().iter().position(is_same) else { continue };
            let (Some(new_id), Some(old_id)) = (ServerId::new(place), ServerId::new(index)) else { continue };
            let (Some(known), Some(candidate)) = (old.servers.get(index), old.candidates.get(index)) else { continue };
            if let Some(state) = self.servers.get_mut(place) {
                *state = known.clone();
                // Whoever has these reports to the old pool.
                state.probe.forget_lease();
                state.ejection.cancel_trial();
                state.signals.on_attempt_canceled(now);
                if !same_check {
                    // What an old check said may not be what the new one says, so it looks at once.
                    state.probe = ProbeSchedule::default();
                }
                if !is_checked {
                    state.health = HealthState::default();
                }
            }
            if let Some(own) = self.candidates.get_mut(place) {
                own.latency = candidate.latency;
            }
            self.reindex(new_id, now);
            self.groups.awaiting_failback.set(
                new_id,
                old.groups.awaiting_failback.contains(old_id) && self.service.failback != crate::Failback::Auto,
            );
            self.groups
                .in_slow_start
                .set(new_id, old.groups.in_slow_start.contains(old_id) && self.service.slow_start.is_some());
        }
        self.budget = old.budget;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::classify::{Failure, Outcome};
    use crate::exchange::{Exchange, Step};
    use crate::pool::ejection::EjectionState;
    use crate::pool::health::Health;
    use crate::proxy::Services;
    use crate::retry::RequestMeta;
    use crate::server::Server;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn service(host: &str, servers: &[&str]) -> Service {
        let server = |url: &&str| Server::new(url.parse().unwrap());
        Service::new(host, servers.iter().map(server).collect()).unwrap()
    }

    /// Services in which the first server of the first one cannot be reached, and the second is well.
    fn with_a_dead_server() -> Services {
        let services = Services::new([service("app.test", &["a.example", "b.example"])], 1);
        let pool = services.pools().next().unwrap();
        pool.update(|state| {
            let mut exchange = Exchange::new(RequestMeta::new(Method::GET), state, NOW);
            let Step::Attempt(plan) = exchange.next(state, NOW) else { panic!("an attempt") };
            exchange.on_outcome(state, &plan, Outcome::Failed(Failure::Connect), NOW);
            while let Some(lease) = state.next_probe(NOW) {
                let result = if lease.server().index() == 0 {
                    Err(Failure::Connect)
                } else {
                    Ok(crate::ProbeResponse::new(http::StatusCode::OK))
                };
                state.on_probe(lease, &result, NOW);
            }
        });
        services
    }

    fn known(services: &Services, server: &str) -> (Health, EjectionState) {
        let pool = services.pools().next().unwrap();
        let id =
            pool.service().servers().iter().position(|known| known.name == server).and_then(ServerId::new).unwrap();
        pool.update(|state| (state.health(id), state.ejection_state(id, NOW)))
    }

    #[test]
    fn out_23_what_did_not_change_keeps_its_pool() {
        let old = with_a_dead_server();
        let new =
            old.reloaded([service("app.test", &["a.example", "b.example"]), service("x.test", &["x.example"])], 2, NOW);
        assert!(std::ptr::eq(&**old.pools().next().unwrap(), &**new.pools().next().unwrap()));
        assert_eq!(new.pools().count(), 2);
    }

    #[test]
    fn sel_29_out_23_servers_come_and_go_and_the_others_stay_known() {
        let old = with_a_dead_server();
        let ejected = known(&old, "a");
        assert!(matches!(ejected, (Health::Unhealthy, EjectionState::Ejected(_))), "{ejected:?}");
        let new = old.reloaded([service("app.test", &["c.example", "b.example", "a.example"])], 2, NOW);
        assert_eq!(known(&new, "a"), ejected);
        assert_eq!(known(&new, "b"), (Health::Healthy, EjectionState::Active));
        assert_eq!(known(&new, "c"), (Health::Unknown, EjectionState::Active));
        // What is late from before reports to the pool that is gone, and is lost.
        let pool = new.pools().next().unwrap();
        let first = pool.update(|state| {
            let mut exchange = Exchange::new(RequestMeta::new(Method::GET), state, NOW);
            exchange.next(state, NOW)
        });
        let Step::Attempt(plan) = first else { panic!("an attempt") };
        assert_eq!(pool.service().server(plan.server).unwrap().name, "c");
    }

    #[test]
    fn a_server_that_moved_is_unknown() {
        let old = with_a_dead_server();
        let mut moved = service("app.test", &["a.elsewhere.example", "b.example"]);
        moved.served_by_header = false;
        assert_eq!(known(&old.reloaded([moved], 2, NOW), "a"), (Health::Unknown, EjectionState::Active));
    }

    #[test]
    fn what_nobody_reports_on_any_more_is_not_waited_for() {
        let services = Services::new([service("app.test", &["a.example"])], 1);
        let old = services.pools().next().unwrap();
        let _probing = old.update(|state| state.next_probe(NOW)).unwrap();
        let mut changed = service("app.test", &["a.example"]);
        changed.served_by_header = false;
        let new = old.changed(changed.clone(), 2, NOW);
        assert!(new.update(|state| state.next_probe(NOW)).is_some(), "that probe reports to the pool that is gone");

        let get = || RequestMeta::new(Method::GET);
        old.update(|state| {
            let mut exchange = Exchange::new(get(), state, NOW);
            let Step::Attempt(plan) = exchange.next(state, NOW) else { panic!("an attempt") };
            exchange.on_outcome(state, &plan, Outcome::Failed(Failure::Connect), NOW);
        });
        let later = NOW + Duration::from_secs(10);
        let trial = |pool: &Pool| pool.update(|state| state.pick(Default::default(), &get(), later)).unwrap().trial;
        old.update(|state| {
            let Step::Attempt(plan) = Exchange::new(get(), state, later).next(state, later) else {
                panic!("an attempt")
            };
            assert!(plan.trial);
        });
        assert!(!trial(old), "one is on its way");
        assert!(trial(&old.changed(changed, 2, later)), "and so is that trial");
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_ejection_longer() {
        let hour = Duration::from_secs(60 * 60);
        let services = with_a_dead_server();
        let old = services.pools().next().unwrap();
        let a = ServerId::new(0).unwrap();
        let (set, length) = (Timestamp::from_millis(5), Duration::from_secs(11));
        old.update(|state| state.status(NOW + hour)); // it shows an hour more, and then what it should
        old.update(|state| {
            let mut exchange = Exchange::new(RequestMeta::new(Method::GET), state, set);
            let Step::Attempt(plan) = exchange.next(state, set) else { panic!("an attempt") };
            exchange.on_outcome(state, &plan, Outcome::Failed(Failure::Connect), set);
        });
        let mut changed = service("app.test", &["a.example", "b.example"]);
        changed.served_by_header = false;
        let new = old.changed(changed, 2, set);
        for pool in [&**old, &new] {
            let after = set + length + length;
            let standing =
                pool.update(|state| [ServerId::new(1).unwrap(), a].map(|id| state.ejection_state(id, after)));
            assert!(!standing.iter().any(|standing| matches!(standing, EjectionState::Ejected(_))), "{standing:?}");
        }
    }

    #[test]
    fn a_new_health_check_looks_at_once_and_none_forgets() {
        let old = with_a_dead_server();
        let mut changed = service("app.test", &["a.example", "b.example"]);
        changed.health_check.as_mut().unwrap().path = "/elsewhere".to_owned();
        let later = NOW + Duration::from_millis(1);
        let new = old.reloaded([changed.clone()], 2, later);
        assert_eq!(known(&new, "a").0, Health::Unhealthy);
        assert!(new.pools().next().unwrap().update(|state| state.next_probe(later)).is_some());
        changed.health_check = None;
        assert_eq!(known(&new.reloaded([changed], 3, later), "a").0, Health::Unknown);
    }
}
