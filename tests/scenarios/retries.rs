//! Retries: their number, their budget and their timeouts.

use std::time::Duration;

use expect_test::expect;
use http::StatusCode;
use tunnel_balancer_core::{Finish, Policy, ProbeResponse, RequestMeta, ServerSet, Service, Step};

use crate::pool_driver::{at, checked, drive, end, exchange_get, get, id, plain, pool, post, probed, start, status};
use crate::{all_served, check_with, run, without_probes};

#[test]
fn rty_07_the_last_failure_is_passed_through() {
    let trace = run(4, without_probes, "0 a 502; 0 b 502; 0 c 504; 1 GET; 2 end");
    assert_eq!((trace.responses[0].status.as_u16(), trace.requests.get("d")), (504, None));
}

#[test]
fn rty_14_no_attempt_starts_after_the_request_timeout() {
    let limits = |service: &mut Service| {
        service.health_check = None;
        service.retry.timeout = Duration::from_millis(3_800);
        service.retry.per_try_timeout = Some(Duration::from_secs(2));
    };
    let trace = run(3, limits, "0 a hang; 0 b hang; 0 c hang; 1 GET; 10 end");
    assert_eq!((trace.responses[0].attempts, trace.responses[0].status.as_u16()), (2, 504));
}

#[test]
fn rty_10_per_try_timeout_ends_a_slow_attempt() {
    let limits = |service: &mut Service| {
        service.health_check = None;
        service.retry.per_try_timeout = Some(Duration::from_millis(500));
    };
    check_with(
        2,
        limits,
        "0 a slow; 1 GET; 2 POST; 3 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.500 GET #1 -> b
            1.501 GET #1 <- 200 by b
            2.000 POST #2 -> b
            2.001 POST #2 <- 200 by b
        "#]],
    );
}

#[test]
fn rty_16_retries_of_partial_failures_stay_within_the_budget() {
    let mut state = plain(Policy::RoundRobin, &[1, 1, 1]);
    let mut attempts = 0;
    for n in 0..2_000 {
        for code in [200, 200, 200, 503] {
            attempts += drive(&mut state, get(), at(n * 10), |_| code).len();
        }
    }
    assert!(attempts <= 9_620, "{attempts} attempts for 8000 requests, a quarter of which fail on all servers");
}

#[test]
fn rty_18_retries_stay_within_the_budget_if_all_servers_fail() {
    let gets = (0..1000).map(|n| format!("{} GET; ", 1.0 + f64::from(n) / 100.0)).collect::<String>();
    let trace = run(3, without_probes, &format!("0 a 502; 0 b 502; 0 c 502; {gets} 20 end"));
    let attempts: usize = trace.requests.values().sum();
    assert!((1_100..=1_210).contains(&attempts), "{attempts} attempts for 1000 requests");
    let of_servers = trace.responses.iter().filter(|response| response.status == 502).count();
    assert_eq!(of_servers, 1_000, "every client gets the response of a server");
}

#[test]
fn retries_to_a_healthy_server_are_not_charged() {
    let gets = (0..200).map(|_| "1 GET; ").collect::<String>();
    let trace = run(2, without_probes, &format!("0 a reset; {gets} 2 end"));
    // All were in flight when the server died.
    all_served(&trace, 200);
    assert_eq!(trace.requests["b"], 200);
}

#[test]
fn an_undelivered_attempt_is_not_charged() {
    let mut state = probed(|service| (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0));
    end(&mut state, 1, status(502), at(1_000));
    let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
    assert!(matches!(exchange.report(&mut state, attempt, status(530), at(1_000)), Step::Attempt(_)));

    let (mut exchange, attempt) = start(&mut state, get(), at(1_001));
    assert_eq!(attempt.server(), id(1));
    let step = exchange.report(&mut state, attempt, status(502), at(1_001));
    assert_eq!(step, Step::Finish(Finish::Response), "delivered, and the budget is empty");
}

#[test]
fn a_retry_is_free_only_from_a_server_that_fails_repeatedly() {
    let mut state = probed(|service| (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0));
    let mut is_retried = || {
        let (mut exchange, attempt) = start(&mut state, get(), at(1_000));
        assert_eq!(attempt.server(), id(0));
        matches!(exchange.report(&mut state, attempt, status(502), at(1_000)), Step::Attempt(_))
    };
    assert!(!is_retried(), "one failure may be caused by the request");
    assert!(is_retried());
}

#[test]
fn a_retry_does_not_recheck_a_server_that_failed_long_ago() {
    let mut state = pool(Policy::Failover, &[1, 1, 1], |_, change| {
        change(checked);
    });
    while let Some(lease) = state.next_probe(at(0)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::IM_A_TEAPOT)), at(0));
    }
    let (mut exchange, first) = start(&mut state, get(), at(1));
    let Step::Attempt(second) = exchange.report(&mut state, first, status(502), at(1)) else { panic!("no retry") };
    assert_eq!(second.server(), id(1));
    let Step::Attempt(third) = exchange.report(&mut state, second, status(502), at(1)) else { panic!("no retry") };
    exchange.report(&mut state, third, status(200), at(1));
    // `a` and `b` have failed, `c` has not.
    let (mut exchange, first) = start(&mut state, get(), at(20_000));
    assert_eq!(first.server(), id(0), "the recheck of a first attempt");
    let Step::Attempt(second) = exchange.report(&mut state, first, status(502), at(20_000)) else { panic!("no retry") };
    assert_eq!(second.server(), id(2), "a retry prefers a server that did not fail");
}

#[test]
fn a_request_without_retries_avoids_a_server_that_failed_recently() {
    let first = |request: RequestMeta, now: u64| {
        let mut state = plain(Policy::Failover, &[1, 1]);
        end(&mut state, 0, status(502), at(0));
        state.pick(ServerSet::EMPTY, &request, at(now)).unwrap().server
    };
    assert_eq!((first(post(), 10_000), first(post(), 10_001)), (id(1), id(0)));
    assert_eq!(first(get(), 1), id(0), "it can be retried");
    let mut both = plain(Policy::Failover, &[1, 1]);
    (0..2).for_each(|server| end(&mut both, server, status(502), at(0)));
    assert_eq!(both.pick(ServerSet::EMPTY, &post(), at(1)).unwrap().server, id(0), "all have failed");
    assert_eq!(exchange_get(&mut both, at(2)), "a");
    assert_eq!(both.pick(ServerSet::EMPTY, &post(), at(3)).unwrap().server, id(0), "it works again");
}
