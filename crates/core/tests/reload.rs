//! State that survives a change of the configuration.

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Affinity, Drill, DrillKind, EjectionState, Exchange, Failback, Failure, Health, HealthCheck, Outcome, Pool,
    PoolState, ProbeResponse, RequestMeta, Server, ServerHealthCheck, ServerId, Service, ServiceState, Services, Step,
    Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn service(host: &str, servers: &[&str]) -> Service {
    let server = |url: &&str| Server::new(url.parse().unwrap());
    Service::new(host, servers.iter().map(server).collect()).unwrap()
}

/// A service whose first server cannot be reached while the second is healthy.
fn with_an_unreachable_server() -> Services {
    let services = Services::new([service("app.test", &["a.example", "b.example"])], 1);
    let pool = services.pools().next().unwrap();
    pool.update(|state| {
        fail(state, NOW);
        while let Some(lease) = state.next_probe(NOW) {
            let result = if lease.server().index() == 0 {
                Err(Failure::Connect)
            } else {
                Ok(ProbeResponse::new(StatusCode::OK))
            };
            state.on_probe(lease, &result, NOW);
        }
    });
    services
}

fn known(services: &Services, server: &str) -> (Health, EjectionState) {
    let pool = services.pools().next().unwrap();
    let id = pool.service().servers().iter().position(|known| known.name == server).and_then(ServerId::new).unwrap();
    pool.update(|state| (state.health(id), state.ejection_state(id, NOW)))
}

#[test]
fn out_23_an_unchanged_service_keeps_its_pool() {
    let old = with_an_unreachable_server();
    let new =
        old.reloaded([service("app.test", &["a.example", "b.example"]), service("x.test", &["x.example"])], 2, NOW);
    assert!(std::ptr::eq(&**old.pools().next().unwrap(), &**new.pools().next().unwrap()));
    assert_eq!(new.pools().count(), 2);
}

#[test]
fn sel_29_out_23_unchanged_servers_keep_their_state() {
    let old = with_an_unreachable_server();
    let ejected = known(&old, "a");
    assert!(matches!(ejected, (Health::Unhealthy, EjectionState::Ejected(_))), "{ejected:?}");
    let new = old.reloaded([service("app.test", &["c.example", "b.example", "a.example"])], 2, NOW);
    assert_eq!(known(&new, "a"), ejected);
    assert_eq!(known(&new, "b"), (Health::Healthy, EjectionState::Active));
    assert_eq!(known(&new, "c"), (Health::Unknown, EjectionState::Active));
    // Late results report to the old pool.
    let pool = new.pools().next().unwrap();
    let first = pool.update(|state| Exchange::start(RequestMeta::new(Method::GET), state, NOW).1);
    let Step::Attempt(attempt) = first else { panic!("an attempt") };
    assert_eq!(pool.service().server(attempt.server()).unwrap().name, "c");
}

#[test]
fn a_server_with_a_new_address_has_no_state() {
    let old = with_an_unreachable_server();
    let mut moved = service("app.test", &["a.elsewhere.example", "b.example"]);
    moved.served_by_header = false;
    assert_eq!(known(&old.reloaded([moved], 2, NOW), "a"), (Health::Unknown, EjectionState::Active));
}

#[test]
fn reload_releases_leases_and_trials() {
    let services = Services::new([service("app.test", &["a.example"])], 1);
    let old = services.pools().next().unwrap();
    let _probing = old.update(|state| state.next_probe(NOW)).unwrap();
    let mut changed = service("app.test", &["a.example"]);
    changed.served_by_header = false;
    let new = old.reconfigured(changed.clone(), 2, NOW);
    assert!(new.update(|state| state.next_probe(NOW)).is_some(), "the lease stays with the old pool");

    let get = || RequestMeta::new(Method::GET);
    old.update(|state| {
        fail(state, NOW);
    });
    let later = NOW + Duration::from_secs(10);
    let trial = |pool: &Pool| pool.update(|state| state.pick(Default::default(), &get(), later)).unwrap().trial;
    old.update(|state| {
        let (_, Step::Attempt(attempt)) = Exchange::start(get(), state, later) else { panic!("an attempt") };
        assert!(attempt.info().trial);
    });
    assert!(!trial(old), "one is in flight");
    assert!(trial(&old.reconfigured(changed, 2, later)), "the trial stays with the old pool");
}

#[test]
fn a_clock_set_back_does_not_extend_ejections() {
    let hour = Duration::from_secs(60 * 60);
    let services = with_an_unreachable_server();
    let old = services.pools().next().unwrap();
    let a = ServerId::new(0).unwrap();
    let (set, length) = (Timestamp::from_millis(5), Duration::from_secs(11));
    old.update(|state| state.status(NOW + hour)); // the clock leaps an hour ahead, and back
    old.update(|state| {
        fail(state, set);
    });
    let mut changed = service("app.test", &["a.example", "b.example"]);
    changed.served_by_header = false;
    let new = old.reconfigured(changed, 2, set);
    for pool in [&**old, &new] {
        let after = set + length + length;
        let states = pool.update(|state| [ServerId::new(1).unwrap(), a].map(|id| state.ejection_state(id, after)));
        assert!(!states.iter().any(|state| matches!(state, EjectionState::Ejected(_))), "{states:?}");
    }
}

#[test]
fn a_new_health_check_probes_at_once_and_no_check_resets_health() {
    let old = with_an_unreachable_server();
    let mut changed = service("app.test", &["a.example", "b.example"]);
    changed.health_check.as_mut().unwrap().path = "/elsewhere".to_owned();
    let later = NOW + Duration::from_millis(1);
    let new = old.reloaded([changed.clone()], 2, later);
    assert_eq!(known(&new, "a").0, Health::Unhealthy);
    assert!(new.pools().next().unwrap().update(|state| state.next_probe(later)).is_some());
    changed.health_check = None;
    assert_eq!(known(&new.reloaded([changed], 3, later), "a").0, Health::Unknown);
}

/// A pool whose first server has returned and is held back, or starts slowly.
fn returned(adjust: fn(&mut Service)) -> Pool {
    let mut service = service("app.test", &["a.example", "b.example"]);
    adjust(&mut service);
    let pool = Pool::new(service, 1);
    pool.update(|state| {
        fail(state, NOW);
        let (mut exchange, step) = Exchange::start(RequestMeta::new(Method::GET), state, NOW + EJECTION);
        let Step::Attempt(trial) = step else { panic!("an attempt") };
        exchange.report(state, trial, Outcome::Status(StatusCode::OK), NOW + EJECTION);
    });
    pool
}

const EJECTION: Duration = Duration::from_secs(10);

/// How many of 100 selections after a reload with other settings are of the first server.
fn selections(pool: &Pool, adjust: fn(&mut Service)) -> usize {
    let mut service = service("app.test", &["a.example", "b.example"]);
    adjust(&mut service);
    let now = NOW + EJECTION + Duration::from_secs(50);
    let new = pool.reconfigured(service, 2, now);
    let first = |_: &i32| {
        let selection = new.update(|state| state.pick(Default::default(), &RequestMeta::new(Method::GET), now));
        selection.unwrap().server.index() == 0
    };
    (0..100).filter(first).count()
}

#[test]
fn reload_keeps_held_servers_while_failback_waits() {
    let manual = returned(|service| service.failback = Failback::Manual);
    let settings = |service: &mut Service| (service.failback, service.served_by_header) = (Failback::Manual, false);
    assert_eq!(selections(&manual, settings), 0);
    assert_eq!(selections(&manual, |_| ()), 100, "nothing would release it");
    let auto = manual.reconfigured(service("app.test", &["a.example", "b.example"]), 2, NOW + EJECTION);
    assert!(!auto.update(|state| state.export("x")).servers[0].awaiting_failback);
}

#[test]
fn reload_keeps_a_slow_start_while_it_is_set() {
    let slow = returned(|service| service.slow_start = Some(Duration::from_secs(100)));
    let half = selections(&slow, |service| service.slow_start = Some(Duration::from_secs(100)));
    assert!((30..70).contains(&half), "{half}");
    assert_eq!(selections(&slow, |_| ()), 100);
}

#[test]
fn reload_keeps_budgets_and_the_scope() {
    let no_share = |service: &mut Service| service.retry.budget.percent = 0;
    let mut service = service("app.test", &["a.example", "b.example"]);
    no_share(&mut service);
    let old = Pool::new(service.clone(), 1);
    old.update(|state| state.set_scope("west"));
    let retried = |pool: &Pool| {
        pool.update(|state| {
            let (mut exchange, step) = Exchange::start(RequestMeta::new(Method::GET), state, NOW);
            let Step::Attempt(attempt) = step else { panic!("an attempt") };
            let outcome = Outcome::Status(StatusCode::BAD_GATEWAY);
            let step = exchange.report(state, attempt, outcome, NOW);
            let is_retried = matches!(step, Step::Attempt(_));
            if let Step::Attempt(retry) = step {
                exchange.report(state, retry, Outcome::Status(StatusCode::OK), NOW);
            }
            // A success in between keeps the server from being ejected.
            let own = RequestMeta { affinity_server: ServerId::new(0), ..RequestMeta::new(Method::GET) };
            let (mut exchange, step) = Exchange::start(own, state, NOW);
            let Step::Attempt(attempt) = step else { panic!("an attempt") };
            exchange.report(state, attempt, Outcome::Status(StatusCode::OK), NOW);
            is_retried
        })
    };
    service.ejection.window_failures = None;
    let old = old.reconfigured(service.clone(), 1, NOW);
    assert_eq!((0..11).filter(|_| retried(&old)).count(), 10, "one per second, for ten seconds");
    let new = old.reconfigured(service, 2, NOW);
    assert!(!retried(&new), "the budget is used up");
    assert_eq!(new.update(|state| state.export("x")).scope, "west");
}

#[test]
fn results_of_a_replaced_health_check_are_not_exported() {
    let old = with_an_unreachable_server();
    let mut changed = service("app.test", &["a.example", "b.example"]);
    changed.health_check.as_mut().unwrap().path = "/elsewhere".to_owned();
    let new = old.reloaded([changed], 2, NOW);
    let snapshot = new.pools().next().unwrap().update(|state| state.export("x"));
    assert!(snapshot.servers.iter().all(|server| server.probed_at == 0), "{snapshot:?}");
}

#[test]
fn reload_releases_trial_waits_on_the_old_pool() {
    let old = Pool::new(service("app.test", &["a.example", "b.example"]), 1);
    let own = RequestMeta { affinity_server: ServerId::new(1), ..RequestMeta::new(Method::GET) };
    old.update(|state| {
        let (mut exchange, step) = Exchange::start(own.clone(), state, NOW);
        let Step::Attempt(attempt) = step else { panic!("an attempt") };
        exchange.report(state, attempt, Outcome::Status(StatusCode::BAD_GATEWAY), NOW);
        drop(Exchange::start(own, state, NOW));
    });
    let mut changed = service("app.test", &["a.example", "b.example"]);
    changed.served_by_header = false;
    let later = NOW + Duration::from_millis(1);
    let new = old.reconfigured(changed, 2, later);
    let step = new.update(|state| {
        let (mut exchange, step) = Exchange::start(RequestMeta::new(Method::GET), state, later);
        let Step::Attempt(attempt) = step else { panic!("an attempt") };
        exchange.report(state, attempt, Outcome::Status(StatusCode::BAD_GATEWAY), later)
    });
    assert!(matches!(step, Step::Attempt(_)), "{step:?}");
}

#[test]
fn the_affinity_cookie_is_kept_while_its_server_is_held_back() {
    let pool = returned(|service| {
        service.failback = Failback::Manual;
        service.affinity = Some(Affinity::new("lb", *b"secret"));
    });
    let [a, b] = [0, 1].map(|index| ServerId::new(index).unwrap());
    assert_eq!(pool.affinity_cookie(b, Some(a), true), None, "its client returns to it later");
    assert!(pool.affinity_cookie(a, Some(b), true).is_some());
    assert_eq!(pool.affinity_cookie(a, Some(a), true), None);
    pool.update(|state| state.release_failback(NOW + EJECTION));
    assert!(pool.affinity_cookie(b, Some(a), true).is_some(), "it was available, so the client has moved");
    let own = RequestMeta { affinity_server: Some(a), ..RequestMeta::new(Method::GET) };
    let held = returned(|service| service.failback = Failback::Manual);
    let selection = held.update(|state| state.pick(Default::default(), &own, NOW + EJECTION)).unwrap();
    assert_eq!(selection.server, b, "affinity does not use a server that is held back");
}

/// A request whose first attempt finds its server unreachable.
#[test]
fn a_drill_does_not_wait_for_requests_of_others() {
    let mut limited = service("app.test", &["a.example", "b.example"]).servers().to_vec();
    limited.iter_mut().for_each(|server| server.max_requests = Some(1));
    let pool = Pool::new(Service::new("app.test", limited).unwrap(), 1);
    let get = || RequestMeta::new(Method::GET);
    let others: Vec<_> = (0..2).map(|_| pool.update(|state| Exchange::start(get(), state, NOW))).collect();
    assert!(others.iter().all(|(_, step)| matches!(step, Step::Attempt(_))));
    let next = |pool: &Pool| pool.update(|state| Exchange::start(get(), state, NOW)).1;
    assert!(matches!(next(&pool), Step::Finish(_)), "both servers are at capacity");
    for kind in DrillKind::ALL {
        let copy = pool.for_drill(Drill { server: ServerId::new(0).unwrap(), kind }, NOW);
        assert!(matches!(next(&copy), Step::Attempt(_)), "{kind:?}");
    }
    assert!(matches!(next(&pool), Step::Finish(_)), "the drills change nothing");
}

fn fail(state: &mut PoolState, now: Timestamp) {
    let (mut exchange, step) = Exchange::start(RequestMeta::new(Method::GET), state, now);
    let Step::Attempt(attempt) = step else { panic!("an attempt") };
    let next = exchange.report(state, attempt, Outcome::Failed(Failure::Connect), now);
    if let Step::Attempt(attempt) = next {
        exchange.cancel(state, attempt, now);
    }
}

#[test]
fn servers_are_probed_as_they_set_themselves() {
    let mut service = service("app.test", &["a.example", "b.example", "c.example"]);
    let mut own = HealthCheck::default();
    own.path = "/own".to_owned();
    service.servers_mut()[1].health_check = ServerHealthCheck::Custom(Box::new(own.clone()));
    service.servers_mut()[2].health_check = ServerHealthCheck::Disabled;
    let ids = [0, 1, 2].map(|index| ServerId::new(index).unwrap());
    let checks = ids.map(|id| service.health_check_of(id).map(|check| check.path.clone()));
    assert_eq!(checks, [Some("/".to_owned()), Some("/own".to_owned()), None]);

    let pool = Pool::new(service.clone(), 1);
    let probed = |pool: &Pool, now| -> Vec<usize> {
        pool.update(|state| {
            let mut probed = Vec::new();
            while let Some(lease) = state.next_probe(now) {
                probed.push(lease.server().index());
                state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), now);
            }
            probed
        })
    };
    assert_eq!(probed(&pool, NOW), [0, 1], "the third is never probed");

    // A change of one server's check leaves the schedule of the others alone.
    own.fall = 7;
    service.servers_mut()[1].health_check = ServerHealthCheck::Custom(Box::new(own));
    let later = NOW + Duration::from_secs(1);
    assert_eq!(probed(&pool.reconfigured(service, 2, later), later), [1]);
}

#[test]
fn counts_and_times_survive_a_reload_of_a_changed_service() {
    let old = with_an_unreachable_server();
    let status = |services: &Services, now| services.pools().next().unwrap().update(|state| state.status(now));
    let before = status(&old, NOW);
    assert_eq!((before.state, before.since), (ServiceState::Degraded, Some(NOW)));
    assert!(before.in_flight > 0, "a request has no response yet");

    let later = NOW + Duration::from_secs(1);
    let after = status(&old.reloaded([service("app.test", &["c.example", "b.example", "a.example"])], 2, later), later);
    assert_eq!((after.state, after.since), (before.state, before.since));
    assert_eq!(after.requests, before.requests);
    assert_eq!(after.in_flight, 0, "those in flight stay with the old pool");
    let (a, moved) = (&before.servers[0], &after.servers[2]);
    assert_eq!((moved.since, moved.cause(), moved.counters), (Some(NOW), a.cause(), a.counters));
    assert_eq!((moved.latencies, &moved.last_probe), (a.latencies, &a.last_probe));
    assert_eq!(after.servers[1].latencies, before.servers[1].latencies);

    let mut paused = service("app.test", &["a.example", "b.example"]);
    paused.maintenance = true;
    let paused = status(&old.reloaded([paused], 2, later), later);
    assert_eq!((paused.state, paused.since), (ServiceState::Maintenance, Some(later)));
}
