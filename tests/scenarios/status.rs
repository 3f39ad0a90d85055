//! What status pages show: states with their times and causes, and counts.

use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{
    EjectionState, Exchange, Failback, Failure, Finish, LocalReply, Outcome, Policy, PoolState, Reason, RequestMeta,
    ServerStatus, Service, ServiceState, Standing, Step, Timestamp,
};

use crate::hedging::stalled;
use crate::pool_driver::{
    at, checked, drive, end, exchange_get, get, id, plain, pool, post, probe, probed, start, status,
};

fn server(state: &mut PoolState, index: usize, now: u64) -> ServerStatus {
    state.status(at(now)).servers.swap_remove(index)
}

/// Returns the state of the service, and its time in milliseconds.
fn service_state(state: &mut PoolState, now: u64) -> (ServiceState, Option<u64>) {
    let status = state.status(at(now));
    (status.state, status.since.map(Timestamp::as_millis))
}

fn serving(state: &mut PoolState, now: u64) -> String {
    state.status(at(now)).servers.into_iter().filter(|server| server.serving).map(|server| server.name).collect()
}

#[test]
fn an_outage_has_its_start_and_its_cause() {
    let mut state = probed(|_| ());
    assert_eq!(server(&mut state, 0, 1_000).since, None, "it was available from the start");
    probe(&mut state, [Ok(500), Ok(200)], at(40_000));
    assert_eq!(service_state(&mut state, 40_000), (ServiceState::Up, None), "one failure is no outage");
    probe(&mut state, [Err(Failure::Connect), Ok(200)], at(60_000));

    let status = server(&mut state, 0, 61_000);
    let cause = status.cause().unwrap();
    assert_eq!((status.state(), status.since, status.standing), ("unhealthy", Some(at(60_000)), Standing::Unhealthy));
    assert_eq!(
        (cause.at, cause.reason, cause.detail.as_str()),
        (at(60_000), Reason::ConnectFailed, "connection failed")
    );
    let last = status.last_probe.unwrap();
    assert_eq!((last.at, last.passed, last.detail.as_deref()), (at(60_000), false, Some("connection failed")));
    assert!(status.next_probe.is_some_and(|due| due > at(61_000)));
    assert_eq!(service_state(&mut state, 61_000), (ServiceState::Degraded, Some(60_000)));
    assert_eq!(serving(&mut state, 61_000), "b");

    for second in [80, 100] {
        probe(&mut state, [Ok(200), Ok(200)], at(second * 1_000));
    }
    let status = server(&mut state, 0, 101_000);
    assert_eq!((status.state(), status.since, status.cause()), ("healthy", Some(at(100_000)), None));
    assert_eq!(status.last_failure.unwrap().at, at(60_000), "it is still known");
    assert!(status.last_probe.is_some_and(|last| last.passed && last.error.is_none()));
    assert_eq!(service_state(&mut state, 101_000), (ServiceState::Up, Some(100_000)));
    assert_eq!(serving(&mut state, 101_000), "a");
}

#[test]
fn an_outage_with_several_ejections_has_one_start() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    end(&mut state, 0, status(530), at(1_000));
    assert_eq!(server(&mut state, 0, 2_000).state(), "ejected");
    let probation = server(&mut state, 0, 11_000);
    assert_eq!((probation.state(), probation.since), ("probation", Some(at(1_000))));
    assert_eq!(serving(&mut state, 11_000), "ab", "one request decides, and the others are not sent to it");
    end(&mut state, 0, Outcome::Failed(Failure::Connect), at(12_000));
    let ejected = server(&mut state, 0, 12_000);
    assert_eq!((ejected.state(), ejected.since), ("ejected", Some(at(1_000))));
    assert_eq!(ejected.cause().unwrap().reason, Reason::ConnectFailed, "the latest cause");
    end(&mut state, 0, status(200), at(33_000));
    assert_eq!((server(&mut state, 0, 34_000).since), Some(at(33_000)));
}

#[test]
fn reading_the_status_dates_a_stall_and_counts_none() {
    let (mut state, mut exchange, attempt) = stalled(|_| (), get());
    let status = server(&mut state, 0, 1_600);
    assert_eq!((status.state(), status.since), ("stalled", Some(at(1_500))));
    assert_eq!(status.cause().unwrap().reason, Reason::Unresponsive);
    assert_eq!(service_state(&mut state, 1_600), (ServiceState::Degraded, Some(1_500)));
    exchange.report(&mut state, attempt, self::status(200), at(1_700));
    let status = server(&mut state, 0, 1_700);
    assert_eq!((status.state(), status.since, status.counters.stalls), ("healthy", Some(at(1_700)), 1));
    assert_eq!(service_state(&mut state, 1_800), (ServiceState::Up, Some(1_700)));
}

#[test]
fn a_server_that_is_held_back_is_no_outage() {
    let mut state = plain_with(|service| service.failback = Failback::After(Duration::from_secs(60)));
    end(&mut state, 0, status(530), at(1_000));
    end(&mut state, 0, status(200), at(11_000));
    let held = server(&mut state, 0, 12_000);
    assert_eq!((held.state(), held.since, held.serving), ("awaiting_failback", Some(at(11_000)), false));
    assert_eq!(service_state(&mut state, 12_000), (ServiceState::Up, Some(11_000)));
    let returned = server(&mut state, 0, 100_000);
    assert_eq!((returned.since, returned.serving), (Some(at(71_000)), true), "it is dated when its time is over");
}

#[test]
fn the_state_of_a_service_follows_from_the_servers_that_take_new_clients() {
    type Adjust = fn(&mut Service);
    let table: [(&str, Adjust, [bool; 2], ServiceState); 9] = [
        ("all available", |_| (), [true, true], ServiceState::Up),
        ("one unavailable", |_| (), [false, true], ServiceState::Degraded),
        ("none available", |_| (), [false, false], ServiceState::Down),
        ("a drained server", |it| it.servers_mut()[0].drain = true, [true, true], ServiceState::Up),
        ("only a drained server", |it| it.servers_mut()[0].drain = true, [true, false], ServiceState::Down),
        ("a disabled server", |it| it.servers_mut()[0].enabled = false, [false, true], ServiceState::Up),
        (
            "all disabled",
            |it| it.servers_mut().iter_mut().for_each(|it| it.enabled = false),
            [true, true],
            ServiceState::Down,
        ),
        ("the forced server", |it| it.forced = Some(id(0)), [false, true], ServiceState::Down),
        ("maintenance", |it| it.maintenance = true, [false, true], ServiceState::Maintenance),
    ];
    for (case, adjust, available, expected) in table {
        let mut state = pool(Policy::Random, &[1, 1], |_, change| {
            change(checked);
            change(adjust);
        });
        probe(&mut state, available.map(|available| Ok(if available { 200 } else { 500 })), at(0));
        assert_eq!(state.status(at(1)).state, expected, "{case}");
    }
}

#[test]
fn requests_without_affinity_are_served_by_the_servers_that_the_policy_selects() {
    assert_eq!(serving(&mut plain(Policy::Random, &[1, 1]), 0), "ab");
    assert_eq!(serving(&mut plain(Policy::Failover, &[1, 1]), 0), "a", "the first alone");
    assert_eq!(serving(&mut plain_with(|service| service.maintenance = true), 0), "");
    let mut returning = plain_with(|service| service.slow_start = Some(Duration::from_secs(60)));
    end(&mut returning, 0, status(530), at(1_000));
    assert_eq!(serving(&mut returning, 2_000), "b");
    end(&mut returning, 0, status(200), at(12_000));
    assert_eq!(serving(&mut returning, 13_000), "ab", "the first takes a share only");
    let mut none = plain_with(checked);
    probe(&mut none, [Ok(500), Ok(500)], at(1_000));
    assert_eq!(
        (server(&mut none, 0, 2_000).standing, service_state(&mut none, 2_000).0),
        (Standing::LastResort, ServiceState::Down)
    );
    assert_eq!(serving(&mut none, 2_000), "a");
}

#[test]
fn requests_are_counted_by_their_end() {
    let counts = |state: &mut PoolState| {
        let requests = state.status(at(5_000)).requests;
        (requests.total, requests.failed, requests.canceled, requests.retries)
    };
    let mut state = plain_with(without_ejections);
    drive(&mut state, get(), at(1_000), |_| 200);
    assert_eq!(counts(&mut state), (1, 0, 0, 0));
    drive(&mut state, get(), at(1_000), |server| if server == 0 { 530 } else { 500 });
    assert_eq!(counts(&mut state), (2, 0, 0, 1), "500 is a response of the application");
    drive(&mut state, get(), at(1_000), |_| 530);
    assert_eq!(counts(&mut state), (3, 1, 0, 2), "a local reply");
    drive(&mut state, post(), at(1_000), |_| 502);
    assert_eq!(counts(&mut state), (4, 2, 0, 2), "a gateway's failure that was passed on");
    drive(&mut state, RequestMeta::new(Method::TRACE), at(1_000), |_| 200);
    let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
    exchange.report(&mut state, attempt, Outcome::Failed(Failure::ClientAborted), at(1_000));
    assert_eq!(counts(&mut state), (6, 2, 0, 2), "local replies below 500");

    let (mut left, attempt) = start(&mut state, get(), at(2_000));
    assert_eq!(state.status(at(2_000)).in_flight, 1);
    left.cancel(&mut state, attempt, at(3_000));
    left.abandon(&mut state, at(3_000));
    left.abandon(&mut state, at(3_000));
    assert_eq!(counts(&mut state), (7, 2, 1, 2), "a client that disconnects is no failure");
    assert_eq!(state.status(at(3_000)).in_flight, 0);

    let mut paused = plain_with(|service| service.maintenance = true);
    drive(&mut paused, get(), at(1_000), |_| 200);
    assert_eq!(counts(&mut paused), (1, 0, 0, 0), "maintenance is intended");
}

#[test]
fn hedges_and_held_requests_are_counted() {
    let (mut state, mut exchange, attempt) = stalled(|_| (), get());
    let hedge = exchange.hedge(&mut state, &attempt, at(1_500)).unwrap();
    let requests = state.status(at(1_500)).requests;
    assert_eq!((requests.hedges, requests.retries), (1, 0));
    exchange.report(&mut state, hedge, status(200), at(1_600));
    assert_eq!(state.status(at(1_600)).in_flight, 0);

    let mut full = pool(Policy::Failover, &[1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.retry.hold = Some(Duration::from_secs(1)));
    });
    let _running = start(&mut full, get(), at(0));
    let (mut held, Step::Sleep(_)) = Exchange::start(get(), &mut full, at(0)) else { panic!("not held") };
    held.resume(&mut full, at(250));
    let status = full.status(at(250));
    assert_eq!((status.requests.held, status.requests.failed, status.in_flight), (1, 0, 2), "held once");
    assert_eq!(held.resume(&mut full, at(1_000)), Step::Finish(Finish::LocalReply(LocalReply::Overloaded)));
    let status = full.status(at(1_000));
    assert_eq!((status.requests.held, status.requests.failed, status.in_flight), (1, 1, 1));
}

#[test]
fn responses_have_percentiles_and_minutes() {
    let mut state = plain_with(without_ejections);
    for (started, code, ended) in [(0, 200, 60), (1_000, 502, 31_000), (60_000, 500, 60_060), (60_060, 200, 60_120)] {
        let (mut exchange, attempt) = start(&mut state, post(), at(started));
        exchange.report(&mut state, attempt, status(code), at(ended));
    }
    let server = server(&mut state, 0, 61_000);
    assert_eq!(server.percentiles.unwrap().p99, Duration::from_millis(100), "without the failure, within its bucket");
    assert_eq!((server.latencies.count(), server.latencies.sum), (3, Duration::from_millis(180)));
    let minutes = state.minutes(id(0), at(61_000));
    let minutes: Vec<_> =
        minutes.iter().map(|it| (it.start, it.attempts, it.failed, it.mean_latency.unwrap().as_millis())).collect();
    assert_eq!(minutes, [(at(0), 2, 1, 60), (at(60_000), 2, 0, 60)]);
    assert!(state.minutes(id(1), at(61_000)).is_empty());
}

#[test]
fn an_outage_that_another_pool_observed_has_its_start_and_no_cause() {
    let (mut first, mut second) = (probed(|_| ()), probed(|_| ()));
    second.on_response_aborted(id(0), at(1_000));
    for second in [40, 60] {
        probe(&mut first, [Ok(500), Ok(200)], at(second * 1_000));
    }
    second.merge(&first.export("first"), at(75_000));
    let status = server(&mut second, 0, 75_000);
    assert_eq!((status.state(), status.since), ("unhealthy", Some(at(60_000))));
    assert_eq!(status.cause(), None, "the aborted response was before");
    let last = status.last_probe.unwrap();
    assert_eq!((last.at, last.passed, last.duration), (at(60_000), false, None));
    assert!(server(&mut second, 1, 75_000).last_probe.unwrap().passed);
    probe(&mut second, [Ok(500), Ok(200)], at(120_000));
    let own = server(&mut second, 0, 121_000);
    assert_eq!((own.since, own.cause().unwrap().at), (Some(at(60_000)), at(120_000)));
    assert_eq!(own.last_probe.unwrap().duration, Some(Duration::ZERO));
}

#[test]
fn times_are_those_of_the_clock_of_the_host() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    end(&mut state, 0, status(530), at(3_600_000));
    // The clock is set back by an hour.
    exchange_get(&mut state, at(0));
    let status = server(&mut state, 0, 1_000);
    assert_eq!(status.ejection, EjectionState::Ejected(at(10_000)));
    assert_eq!(status.last_failure.unwrap().at, at(0));
}

fn plain_with(adjust: fn(&mut Service)) -> PoolState {
    pool(Policy::Failover, &[1, 1], |_, change| change(adjust))
}

fn without_ejections(service: &mut Service) {
    service.ejection.max_percent = 0;
}
