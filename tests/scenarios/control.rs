//! What an operator decides at run time: maintenance, and a server that is forced.

use tunnel_balancer_core::{
    EjectionState, Failure, HealthCheck, LocalReply, Outcome, Policy, RequestMeta, Server, Step, Writes,
};

use crate::pool_driver::{at, begin, exchange, get, id, picks, pool, post, start};

#[test]
fn under_maintenance_no_server_gets_requests() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.maintenance = true));
    assert_eq!(begin(&mut state, get(), at(0)), Err(LocalReply::Maintenance { retry_after: 300 }));
}

#[test]
fn retry_after_of_maintenance_is_the_rest_of_it() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| (service.maintenance, service.maintenance_until) = (true, Some(at(3_700_000))));
    });
    for (now, retry_after) in [(0, 3600), (100_001, 3600), (3_650_001, 50), (3_700_000, 1), (9_000_000, 1)] {
        assert_eq!(begin(&mut state, get(), at(now)), Err(LocalReply::Maintenance { retry_after }), "{now}");
    }
}

#[test]
fn only_the_forced_server_is_selected() {
    let forced = |adjust: fn(&mut [Server])| {
        pool(Policy::Failover, &[1, 1, 1], |servers, change| {
            adjust(servers);
            change(|service| service.forced = Some(id(1)));
        })
    };
    let mut state = forced(|_| ());
    assert_eq!(picks(&mut state, 3, at(0)), "bbb");
    let own = RequestMeta { affinity_server: Some(id(0)), ..get() };
    assert_eq!(begin(&mut state, own, at(0)), Ok("b".to_owned()), "affinity to another server is overridden");
    for second in 0..5 {
        let now = at(second * 1_000);
        let (mut exchange, attempt) = start(&mut state, get(), now);
        let refused = Outcome::Failed(Failure::Connect);
        assert!(matches!(exchange.report(&mut state, attempt, refused, now), Step::Finish(_)), "no other server");
    }
    assert_eq!(picks(&mut state, 3, at(5_000)), "bbb", "also while it fails");
    let mut state = forced(|servers| servers[1].enabled = false);
    assert!(begin(&mut state, get(), at(0)).is_err(), "a disabled server is not used");
    let mut state = forced(|servers| servers[1].max_requests = Some(1));
    assert_eq!(begin(&mut state, get(), at(0)), Ok("b".to_owned()));
    assert_eq!(begin(&mut state, get(), at(0)), Err(LocalReply::Overloaded));
}

#[test]
fn a_forced_server_is_ejected_as_rarely_as_the_only_one() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.forced = Some(id(1))));
    for second in 0..9 {
        assert_eq!(exchange(&mut state, 502, at(second * 1_000)), "b");
    }
    assert_eq!(state.ejection_state(id(1), at(9_000)), EjectionState::Active);
}

#[test]
fn a_forced_replica_gets_no_writes() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| (service.writes, service.forced) = (Writes::PrimaryOnly, Some(id(1))));
    });
    assert_eq!(begin(&mut state, get(), at(0)), Ok("b".to_owned()));
    assert!(matches!(begin(&mut state, post(), at(0)), Err(LocalReply::NoWrites { .. })));
}

#[test]
fn servers_beside_the_forced_one_are_probed() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(|service| (service.health_check, service.forced) = (Some(HealthCheck::default()), Some(id(1))));
    });
    let probed: Vec<_> = std::iter::from_fn(|| state.next_probe(at(0))).map(|lease| lease.server()).collect();
    assert_eq!(probed, [id(0), id(1)]);
}
