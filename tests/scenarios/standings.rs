//! Why servers are selected or skipped: one case per standing.

use std::time::Duration;

use tunnel_balancer_core::{Failback, Policy, PoolState, RequestMeta, ServerSet, Service, Standing, Writes};

use crate::pool_driver::{at, begin, drive, end, get, id, plain, pool, post, probe, probed, start, status};

fn codes(state: &PoolState, request: &RequestMeta, now: u64) -> Vec<&'static str> {
    let standings = state.standings(ServerSet::EMPTY, request, at(now));
    standings.into_iter().map(Standing::as_str).collect()
}

/// Returns a pool whose first server was ejected at 0.
fn ejected() -> PoolState {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    state
}

#[test]
fn settings_of_the_operator_exclude_servers() {
    let mut state = pool(Policy::Failover, &[1, 1, 0, 1, 1, 1], |servers, _| {
        servers[0].enabled = false;
        servers[1].drain = true;
        servers[3].max_requests = Some(1);
        servers[5].backup = true;
    });
    begin(&mut state, get(), at(0)).unwrap();
    let expected = ["disabled", "draining", "no_weight", "at_capacity", "selectable", "standby"];
    assert_eq!(codes(&state, &get(), 0), expected);
    let tried = state.standings(ServerSet::single(id(4)), &get(), at(0));
    assert_eq!(tried[4..], [Standing::Tried, Standing::Selectable], "the backup follows");
}

#[test]
fn a_forced_server_excludes_the_others() {
    let state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.forced = Some(id(1))));
    assert_eq!(codes(&state, &get(), 0), ["forced_elsewhere", "selectable"]);
}

#[test]
fn writes_go_to_the_primary_alone() {
    let state = pool(Policy::Random, &[1, 1], |_, change| change(|service| service.writes = Writes::PrimaryOnly));
    assert_eq!(codes(&state, &post(), 0), ["selectable", "primary_only"]);
    assert_eq!(codes(&state, &get(), 0), ["selectable", "selectable"]);
}

#[test]
fn the_cookie_of_a_client_selects_its_server() {
    let state = plain(Policy::Failover, &[1, 1]);
    let own = RequestMeta { affinity_server: Some(id(1)), ..get() };
    assert_eq!(codes(&state, &own, 0), ["affinity_elsewhere", "affinity"]);
    assert_eq!(codes(&ejected(), &RequestMeta { affinity_server: Some(id(0)), ..get() }, 0), ["ejected", "selectable"]);
}

#[test]
fn an_ejection_becomes_a_trial() {
    let mut state = ejected();
    let standings = state.standings(ServerSet::EMPTY, &get(), at(1));
    assert_eq!(standings, [Standing::Ejected { until: at(10_000) }, Standing::Selectable]);
    assert_eq!(codes(&state, &get(), 10_000), ["trial", "selectable"]);
    assert_eq!(codes(&state, &post(), 10_000), ["probation", "selectable"]);
    begin(&mut state, get(), at(10_000)).unwrap();
    assert_eq!(codes(&state, &get(), 10_001), ["trial_in_flight", "selectable"]);
}

#[test]
fn with_no_server_available_the_most_promising_is_the_last_resort() {
    let mut state = probed(|_| ());
    probe(&mut state, [Ok(500), Ok(500)], at(60_000));
    for second in 61..65 {
        probe(&mut state, [Ok(500), Ok(500)], at(second * 10_000));
    }
    assert_eq!(codes(&state, &get(), 640_001), ["last_resort", "last_resort"]);
    end(&mut state, 0, status(502), at(640_002));
    assert_eq!(codes(&state, &get(), 640_003), ["unhealthy", "last_resort"], "the first one failed last");
}

#[test]
fn a_server_that_responds_to_nothing_is_stalled() {
    let mut state = probed(|service| service.retry.attempts = 1);
    let leases: Vec<_> = std::iter::from_fn(|| state.next_probe(at(60_000))).collect();
    let (mut exchange, mut attempt) = start(&mut state, get(), at(60_000));
    exchange.wait(&mut state, &mut attempt, true, at(62_000));
    assert_eq!(codes(&state, &get(), 63_000), ["stalled", "selectable"], "{leases:?} have no result");
}

#[test]
fn a_recovered_server_is_held_back_or_ramps_up() {
    let recovered = |adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        drive(&mut state, get(), at(1), |server| if server == 0 { 530 } else { 200 });
        drive(&mut state, get(), at(10_001), |_| 200);
        codes(&state, &get(), 10_002)
    };
    let held_back = recovered(|service| service.failback = Failback::Manual);
    assert_eq!(held_back, ["awaiting_failback", "selectable"]);
    let ramping = recovered(|service| service.slow_start = Some(Duration::from_secs(30)));
    assert_eq!(ramping, ["slow_start", "selectable"], "the first server takes a share");
}

#[test]
fn a_request_that_cannot_be_retried_avoids_a_recent_failure() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    drive(&mut state, get(), at(0), |server| if server == 0 { 502 } else { 200 });
    assert_eq!(codes(&state, &post(), 1), ["recent_failure", "selectable"]);
    assert_eq!(codes(&state, &get(), 1), ["selectable", "selectable"]);
}
