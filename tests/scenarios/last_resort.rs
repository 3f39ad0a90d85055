//! Selection while no server is available.

use std::time::Duration;

use expect_test::expect;
use http::StatusCode;
use tunnel_balancer_core::{
    Exchange, Failback, Failure, LocalReply, Outcome, Policy, PoolState, ProbeResponse, RequestMeta, ServerSet,
    Service, Step,
};

use crate::pool_driver::{at, checked, end, get, id, is_ejected, picks, plain, pool, post, probe, probed, status};
use crate::{check, check_with, run, without_probes};

#[test]
fn last_resort_prefers_servers_that_did_not_fail() {
    let script = "0 probe a 500; 0 probe b 500; 1 GET; 1.5 a 502; 2 GET; 3 GET; 4 end";
    check(
        2,
        script,
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            1.000 probe -> b
            1.001 GET #1 <- 200 by a
            1.001 a is unhealthy: status 500
            1.001 b is unhealthy: status 500
            2.000 GET #2 -> a
            2.001 GET #2 -> b
            2.002 GET #2 <- 200 by b (last resort)
            3.000 GET #3 -> b
            3.001 GET #3 <- 200 by b (last resort)
        "#]],
    );
}

#[test]
fn retry_after_is_the_end_of_the_first_ejection() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    for (server, now) in [(0, at(0)), (1, at(3_000))] {
        end(&mut state, server, status(530), now);
    }
    let both = ServerSet::from_iter([id(0), id(1)]);
    let replies = [4_000, 9_500, 13_000].map(|now| state.pick(both, &get(), at(now)).unwrap_err());
    assert_eq!(replies, [6, 1, 1].map(|retry_after| LocalReply::Unavailable { retry_after }));
}

#[test]
fn a_request_leaves_a_last_resort_that_stalls() {
    let script = "0 probe a 500; 0 probe b 500; 1 GET; 2 a hang; 3 GET; 13 end";
    check(
        2,
        script,
        expect![[r#"
        1.000 GET #1 -> a
        1.000 probe -> a
        1.000 probe -> b
        1.001 GET #1 <- 200 by a
        1.001 a is unhealthy: status 500
        1.001 b is unhealthy: status 500
        3.000 GET #2 -> a
        3.250 probe -> a
        3.500 GET #2 -> b
        3.500 a is stalled
        3.500 a is ejected for 10s: server not responding
        3.501 GET #2 <- 200 by b (last resort)
    "#]],
    );
}

#[test]
fn last_resort_prefers_servers_with_passing_probes() {
    // The probes of `b` pass while its requests fail, so its second ejection lasts its full time,
    // although it recovers meanwhile.
    let script =
        "0 probe a 500; 0 b 530; 0 probe b 200; 1 GET; 2 GET; 3.5 GET; 4 b 200; 14 a hang; 15 GET; 20 GET; 21 end";
    check(
        2,
        script,
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            1.000 probe -> b
            1.001 GET #1 <- 200 by a
            1.001 a is unhealthy: status 500
            1.001 b is healthy
            2.000 GET #2 -> b
            2.001 GET #2 -> a
            2.002 GET #2 <- 200 by a (last resort)
            2.002 probe -> b
            3.500 GET #3 -> b
            3.501 GET #3 -> a
            3.502 GET #3 <- 200 by a (last resort)
            3.502 probe -> b
            15.000 GET #4 -> b
            15.000 probe -> a
            15.001 GET #4 <- 200 by b
            20.000 GET #5 -> b
            20.001 GET #5 <- 200 by b
        "#]],
    );
}

#[test]
fn last_resort_ranks_by_the_latest_signal() {
    let unhealthy = "0 probe a 502; 0 probe b 502; 0 probe c 502; ";
    let trace = run(3, |_| (), &format!("{unhealthy} 1 GET; 1.5 a 502; 1.5 b 502; 2 GET; 3 GET; 4 end"));
    assert_eq!((trace.responses[1].attempts, trace.responses[1].served_by.as_deref()), (3, Some("c")));
    assert_eq!((trace.responses[2].attempts, trace.responses[2].served_by.as_deref()), (1, Some("c")));
}

#[test]
fn the_last_available_server_is_not_ejected() {
    check_with(
        3,
        without_probes,
        "0 a 530; 0 b 530; 0 c 530; 1 GET; 1.1 a reset; 1.1 b reset; 2 c 200; \
         3 POST; 3.1 POST; 3.2 POST; 3.3 POST; 4 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.001 GET #1 -> b
            1.001 a is ejected for 10s: status 530
            1.002 GET #1 -> c
            1.002 b is ejected for 10s: status 530
            1.003 GET #1 <- 503 by balancer
            3.000 POST #2 -> c
            3.001 POST #2 <- 200 by c
            3.100 POST #3 -> c
            3.101 POST #3 <- 200 by c
            3.200 POST #4 -> c
            3.201 POST #4 <- 200 by c
            3.300 POST #5 -> c
            3.301 POST #5 <- 200 by c
        "#]],
    );
}

#[test]
fn concurrent_retries_wait_for_one_trial() {
    // `b` has recovered, which is not known yet. When `a` resets three requests, the first of them
    // tries `b`.
    check_with(
        2,
        without_probes,
        "0 a 530; 0 b 530; 1 GET; 1.5 a 200; 2 GET; 3 a hang; 3 b 200; \
         4 GET; 4.1 GET; 4.2 GET; 5 a reset_connections; 6 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.001 GET #1 -> b
            1.001 a is ejected for 10s: status 530
            1.002 GET #1 <- 503 by balancer
            2.000 GET #2 -> b
            2.001 GET #2 -> a
            2.002 GET #2 <- 200 by a (last resort)
            2.002 a is restored
            4.000 GET #3 -> a
            4.100 GET #4 -> a
            4.200 GET #5 -> a
            5.000 GET #3 -> b
            5.000 a is ejected for 20s: connection lost
            5.001 GET #3 <- 200 by b
            5.250 GET #4 -> b
            5.250 GET #5 -> b
            5.251 GET #4 <- 200 by b
            5.251 GET #5 <- 200 by b
        "#]],
    );
}

#[test]
fn no_trial_wait_while_a_server_is_available() {
    // `b` is slow, and failed once, long ago, so its request is no trial to wait for.
    check_with(
        2,
        without_probes,
        "0 a 502; 0 b 502; 1 GET; 2 a 200; 2 b late; 3 GET; 1000 a 502; 1001 GET; 1002 GET; 1003 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.001 GET #1 -> b
            1.002 GET #1 <- 502 by b
            3.000 GET #2 -> a
            3.001 GET #2 <- 200 by a
            1001.000 GET #3 -> a
            1001.001 GET #3 -> b
            1002.000 GET #4 -> a
            1002.001 GET #4 -> b
        "#]],
    );
}

#[test]
fn probes_that_fail_on_all_servers_do_not_move_traffic() {
    let script = "0 probe a 503; 0 probe b 503; 0 probe c 503; 1 GET; 2 GET; 13 GET; 14 GET; 25 GET; 26 GET; 27 end";
    let trace = run(3, |_| (), script);
    let by: Vec<_> = trace.responses.iter().map(|response| response.served_by.as_deref()).collect();
    assert_eq!(by, [Some("a"); 6]);
}

#[test]
fn last_resort_retries_an_ejected_server_with_failing_probes() {
    check(
        2,
        "0 probe a 500; 0 probe b 500; 1 GET; 2 a 530; 2 probe a 500; 3 GET; \
         4 a 200; 4 probe a 500; 5 GET; 14 POST; 15 GET; 16 GET; 17 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            1.000 probe -> b
            1.001 GET #1 <- 200 by a
            1.001 a is unhealthy: status 500
            1.001 b is unhealthy: status 500
            3.000 GET #2 -> a
            3.001 GET #2 -> b
            3.001 a is ejected for 10s: status 530
            3.002 GET #2 <- 200 by b (last resort)
            5.000 GET #3 -> b
            5.001 GET #3 <- 200 by b (last resort)
            14.000 POST #4 -> b
            14.000 probe -> a
            14.000 probe -> b
            14.001 POST #4 <- 200 by b (last resort)
            15.000 GET #5 -> a
            15.001 GET #5 <- 200 by a (last resort)
            15.001 a is restored
            16.000 GET #6 -> a
            16.001 GET #6 <- 200 by a (last resort)
        "#]],
    );
}

#[test]
fn failed_server_is_retried_even_if_probes_never_pass() {
    let script = "0 probe a 500; 0 probe b 500; 1 GET; 4 a 502; 4 probe a 500; 4.5 GET; 4.6 a 200; 4.6 probe a 500; \
                  6 GET; 20 GET; 40 GET; 41 end";
    let trace = run(2, |_| (), script);
    let by: Vec<_> = trace.responses.iter().map(|response| response.served_by.as_deref()).collect();
    assert_eq!(by, [Some("a"), Some("b"), Some("b"), Some("a"), Some("a")]);
}

#[test]
fn sel_23_with_no_server_available_all_are_tried() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    let refused = |state: &mut PoolState, now| {
        let (mut exchange, mut step) = Exchange::start(get(), state, at(now));
        let mut tried = Vec::new();
        while let Step::Attempt(attempt) = step {
            tried.push(attempt.server().index());
            step = exchange.report(state, attempt, Outcome::Failed(Failure::Connect), at(now));
        }
        tried
    };
    assert_eq!(refused(&mut state, 0), [0, 1]);
    assert_eq!(refused(&mut state, 1), [0, 1]);
    let selection = state.pick(ServerSet::EMPTY, &get(), at(1)).unwrap();
    assert!(selection.last_resort);
}

#[test]
fn unavailable_servers_are_selected_in_a_fixed_order() {
    let pick = |state: &mut PoolState, request: &RequestMeta, now| {
        let selection = state.pick(ServerSet::EMPTY, request, at(now)).unwrap();
        (selection.server.index(), selection.last_resort)
    };
    // `a` has recovered and is held for failback; `b` fails.
    let held = |adjust: fn(&mut Service)| {
        let mut state = probed(adjust);
        end(&mut state, 0, status(530), at(1_000));
        end(&mut state, 0, status(200), at(11_000));
        state
    };
    let mut state = held(|service| service.failback = Failback::Manual);
    end(&mut state, 1, Outcome::Failed(Failure::Connect), at(12_000));
    assert_eq!(pick(&mut state, &get(), 12_000), (0, false), "held for failback before ejected");

    let mut state = held(|service| service.slow_start = Some(Duration::from_secs(100)));
    end(&mut state, 1, Outcome::Failed(Failure::Connect), at(11_000));
    assert_eq!(pick(&mut state, &get(), 11_000), (0, false), "slow start before ejected");

    let mut state = probed(|_| ());
    (0..2).for_each(|server| end(&mut state, server, Outcome::Failed(Failure::Connect), at(1_000)));
    assert_eq!(pick(&mut state, &post(), 10_999), (0, true));
    assert_eq!(pick(&mut state, &post(), 11_000), (0, false), "probation before ejected");
}

#[test]
fn a_passing_probe_during_an_ejection_does_not_raise_the_rank() {
    let mut state = probed(|_| ());
    for (server, start) in [(0, 1_000), (1, 3_000)] {
        end(&mut state, server, Outcome::Failed(Failure::Connect), at(start));
        probe(&mut state, [Ok(if server == 0 { 200 } else { 500 }), Ok(200)], at(start + 1_000));
        end(&mut state, server, Outcome::Failed(Failure::Connect), at(start + 1_500));
        assert!(is_ejected(&state, server, start + 1_500));
    }
    probe(&mut state, [Ok(500), Ok(200)], at(6_000));
    assert!(is_ejected(&state, 1, 6_000), "its probe is ineffective");
    let selection = state.pick(ServerSet::single(id(0)), &get(), at(6_000)).unwrap();
    assert!(selection.last_resort && selection.server == id(1));
    assert_eq!(picks(&mut state, 1, at(6_000)), "a", "the server that was idle longest");
}

#[test]
fn aborted_responses_rank_last() {
    let mut state = pool(Policy::Failover, &[1, 1], |_, change| {
        change(checked);
    });
    while let Some(lease) = state.next_probe(at(0)) {
        state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::INTERNAL_SERVER_ERROR)), at(0));
    }
    let first = |state: &mut PoolState, now| state.pick(ServerSet::EMPTY, &get(), now).unwrap().server;
    assert_eq!(first(&mut state, at(1)), id(0), "both are unhealthy: the order of the list");
    state.on_response_aborted(id(0), at(2));
    assert_eq!(first(&mut state, at(3)), id(1));
}
