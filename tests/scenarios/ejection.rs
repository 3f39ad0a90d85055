//! Ejection: the results that eject a server, and those that do not.

use expect_test::expect;
use tunnel_balancer_core::{AttemptResult, Failure, HashOn, Outcome, Policy, RequestMeta};

use crate::pool_driver::{
    TIMEOUT, at, drive, end, exchange, get, id, is_ejected, picks, plain, pool, post, probe, probed, start, status,
};
use crate::{check_with, run, without_probes};

/// Sends `a` a request that takes `took` milliseconds until `responded_at`, and three that started
/// 1.5 s ago and time out. Returns whether `a` is ejected.
fn times_out(took: u64, responded_at: u64) -> bool {
    let mut state = probed(|_| ());
    let own = || RequestMeta { affinity_server: Some(id(0)), ..get() };
    let (mut exchange, attempt) = start(&mut state, own(), at(responded_at - took));
    let waiting: Vec<_> = (0..3).map(|_| start(&mut state, own(), at(18_500))).collect();
    exchange.report(&mut state, attempt, status(200), at(responded_at));
    for (mut exchange, attempt) in waiting {
        exchange.report(&mut state, attempt, TIMEOUT, at(20_000));
    }
    assert_eq!(state.status(at(20_000)).servers[0].counters.failed_attempts > 0, is_ejected(&state, 0, 20_000));
    is_ejected(&state, 0, 20_000)
}

#[test]
fn a_timeout_of_a_responding_server_is_no_failure() {
    assert!(!times_out(0, 19_000) && times_out(0, 18_999));
}

#[test]
fn a_timeout_within_the_usual_response_time_is_no_failure() {
    // The usual time is the mean plus four deviations. The first deviation is half of the value.
    assert!(!times_out(500, 18_999) && times_out(499, 18_999));
    assert!(!times_out(500, 10_000) && times_out(500, 9_999), "it has not responded for ten seconds");
}

#[test]
fn every_ejection_is_counted() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    end(&mut state, 0, status(530), at(0));
    end(&mut state, 0, status(530), at(10_000));
    let counters = state.status(at(10_000)).servers[0].counters;
    assert_eq!((counters.ejections, counters.attempts, counters.failed_attempts), (2, 2, 2));
}

#[test]
fn aborted_responses_count_as_failures_and_make_a_probe_due() {
    let mut state = probed(|_| ());
    for _ in 0..3 {
        assert!(!is_ejected(&state, 0, 1_000));
        state.on_response_aborted(id(0), at(1_000));
    }
    assert!(is_ejected(&state, 0, 1_000));
    assert_eq!(state.next_probe(at(1_000)).map(|lease| lease.server()), Some(id(0)));
    assert_eq!(state.status(at(1_000)).servers[0].counters.aborted_responses, 3);
}

#[test]
fn a_failing_probe_confirms_the_failures_of_the_only_server() {
    let ejected = |probe_result, outcome: AttemptResult| {
        let mut state = probed(|_| ());
        end(&mut state, 1, status(530), at(1_000));
        end(&mut state, 0, status(502), at(1_000));
        probe(&mut state, [probe_result, Ok(500)], at(1_000));
        (0..3).for_each(|_| end(&mut state, 0, outcome, at(1_100)));
        is_ejected(&state, 0, 1_100)
    };
    assert!(!ejected(Ok(200), status(502)), "statuses may be caused by one page");
    assert!(!ejected(Ok(200), status(530)));
    assert!(ejected(Ok(500), status(502)), "one failing probe is enough");
    assert!(ejected(Ok(200), Outcome::Failed(Failure::Connect).into()), "no process listens");
}

#[test]
fn the_failures_of_the_last_available_server_count_for_later() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].drain = true);
    (0..5).for_each(|_| end(&mut state, 0, status(502), at(0)));
    assert!(!is_ejected(&state, 0, 0), "the other server is draining");
}

#[test]
fn out_04_a_refused_connection_ejects_at_once() {
    let trace = run(2, without_probes, "0 a refuse; 1 GET; 2 GET; 3 end");
    assert_eq!((trace.requests["a"], trace.requests["b"]), (1, 2));
}

#[test]
fn out_07_the_share_of_ejected_servers_is_limited() {
    let mut state = pool(Policy::RoundRobin, &[1, 1], |_, change| change(|service| service.ejection.max_percent = 1));
    assert_eq!(exchange(&mut state, 530, at(0)), "a");
    assert_eq!(exchange(&mut state, 530, at(0)), "b");
    assert_eq!(picks(&mut state, 2, at(1)), "bb", "only one server is ejected");
}

#[test]
fn out_09_a_result_for_a_removed_server_is_ignored() {
    let mut three = plain(Policy::Random, &[0, 0, 1]);
    let (mut exchange, attempt) = start(&mut three, post(), at(0));
    let mut two = plain(Policy::Failover, &[1, 1]);
    exchange.report(&mut two, attempt, status(502), at(0));
    assert_eq!(two.status(at(0)).servers, plain(Policy::Failover, &[1, 1]).status(at(0)).servers);
}

#[test]
fn out_13_three_consecutive_failures_eject() {
    check_with(
        2,
        without_probes,
        "0 a 502; 1 GET; 2 GET; 3 GET; 4 GET; 14 GET; 34 GET; 35 end",
        expect![[r#"
        1.000 GET #1 -> a
        1.001 GET #1 -> b
        1.002 GET #1 <- 200 by b
        2.000 GET #2 -> a
        2.001 GET #2 -> b
        2.002 GET #2 <- 200 by b
        3.000 GET #3 -> a
        3.001 GET #3 -> b
        3.001 a is ejected for 10s: status 502
        3.002 GET #3 <- 200 by b
        4.000 GET #4 -> b
        4.001 GET #4 <- 200 by b
        14.000 GET #5 -> a (trial)
        14.001 GET #5 -> b
        14.001 a is ejected for 20s: status 502
        14.002 GET #5 <- 200 by b
        34.000 GET #6 -> b
        34.001 GET #6 <- 200 by b
    "#]],
    );
}

#[test]
fn out_19_every_policy_avoids_an_ejected_server() {
    for policy in
        [Policy::RoundRobin, Policy::Random, Policy::LeastRequests, Policy::Latency, Policy::Hash(HashOn::Path)]
    {
        let mut state = plain(policy.clone(), &[1, 1]);
        drive(&mut state, RequestMeta { affinity_server: Some(id(0)), ..get() }, at(0), |server| {
            if server == 0 { 530 } else { 200 }
        });
        let tried: Vec<_> = (0..100).flat_map(|_| drive(&mut state, get(), at(1), |_| 200)).collect();
        assert_eq!(tried, [1; 100], "{policy:?}");
    }
}

#[test]
fn out_21_the_only_server_is_never_ejected() {
    check_with(
        1,
        without_probes,
        "0 a 502; 1 GET; 2 GET; 3 GET; 4 GET; 5 a 200; 6 GET; 7 GET; 8 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.001 GET #1 <- 502 by a
            2.000 GET #2 -> a
            2.001 GET #2 <- 502 by a
            3.000 GET #3 -> a
            3.001 GET #3 <- 502 by a
            4.000 GET #4 -> a
            4.001 GET #4 <- 502 by a
            6.000 GET #5 -> a
            6.001 GET #5 <- 200 by a
            7.000 GET #6 -> a
            7.001 GET #6 <- 200 by a
        "#]],
    );
}

#[test]
fn t24_aborted_uploads_do_not_eject() {
    let puts = "1 PUT streamed; 1.1 PUT streamed; 1.2 PUT streamed; 1.3 PUT streamed; ";
    let trace = run(2, |_| (), &format!("0 GET; 0.5 a reset; 0.5 probe a 200; {puts} 2 a 200; 3 GET; 4 end"));
    assert_eq!(trace.responses[5].served_by.as_deref(), Some("a"));
    assert_eq!(trace.probes["a"], 2, "it is probed at most once per second");
}

#[test]
fn t24_client_errors_do_not_eject() {
    let gets = (0..100).map(|n| format!("{} GET; ", 1.0 + f64::from(n) / 100.0)).collect::<String>();
    let trace = run(2, without_probes, &format!("0 a 404; {gets} 3 end"));
    assert_eq!((trace.requests["a"], trace.requests.get("b")), (100, None));
}
