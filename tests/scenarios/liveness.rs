//! Liveness checks: hung servers are left, slow ones are not.

use std::time::Duration;

use expect_test::expect;
use tunnel_balancer_core::{Policy, RequestMeta, Service, Wait, Writes};

use crate::pool_driver::{at, begin, get, id, pool, start};
use crate::{all_served, check, run};

#[test]
fn a_request_on_a_hung_server_is_hedged_and_later_ones_avoid_it() {
    check(
        2,
        "0 GET; 1 a hang; 2 GET; 11 GET; 12 POST; 13 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            2.000 GET #2 -> a
            2.250 probe -> a
            2.500 GET #2 -> b (hedge)
            2.500 a is stalled
            2.501 GET #2 <- 200 by b
            11.000 GET #3 -> b
            11.001 GET #3 <- 200 by b
            12.000 POST #4 -> b
            12.001 POST #4 <- 200 by b
        "#]],
    );
}

#[test]
fn a_probe_from_before_a_request_does_not_delay_its_liveness_probe() {
    check(
        2,
        "0 GET; 0.1 a hang; 0.2 GET; 3 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            0.200 GET #2 -> a
            0.450 probe -> a
            0.700 GET #2 -> b (hedge)
            0.700 a is stalled
            0.701 GET #2 <- 200 by b
        "#]],
    );
}

/// A probe that started before a request shows nothing about it.
#[test]
fn a_request_is_checked_one_second_after_a_liveness_probe_that_passed() {
    check(
        2,
        "0 GET; 1 a slow; 1 probe a 200; 1 GET; 1.3 a hang; 1.3 probe a hang; 1.4 GET; 5 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            1.000 GET #2 -> a
            1.250 probe -> a
            1.400 GET #3 -> a
            2.250 probe -> a
            2.500 GET #3 -> b (hedge)
            2.500 a is stalled
            2.501 GET #3 <- 200 by b
            3.000 GET #2 -> b (hedge)
            3.001 GET #2 <- 200 by b
        "#]],
    );
}

#[test]
fn a_long_poll_on_a_healthy_server_is_never_aborted() {
    check(
        2,
        "0 GET; 1 a slow; 1 probe a 200; 2 GET; 3 GET; 62 a 200; 63 GET; 70 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            2.000 GET #2 -> a
            2.250 probe -> a
            3.000 GET #3 -> a
            3.250 probe -> a
            5.000 probe -> a
            6.000 probe -> a
            7.250 probe -> a
            10.250 probe -> a
            11.500 probe -> a
            18.500 probe -> a
            19.750 probe -> a
            34.750 probe -> a
            34.750 probe -> b
            36.000 probe -> a
            62.000 GET #2 <- 200 by a
            63.000 GET #4 -> a
            63.000 GET #3 <- 200 by a
            63.001 GET #4 <- 200 by a
        "#]],
    );
}

#[test]
fn a_server_that_hangs_later_is_stalled_at_the_next_liveness_check() {
    check(
        2,
        "0 a slow; 0 probe a 200; 1 GET; 5 probe a hang; 30 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            1.000 probe -> b
            1.001 a is healthy
            1.001 b is healthy
            2.000 probe -> a
            4.250 probe -> a
            8.500 probe -> a
            8.750 GET #1 -> b (hedge)
            8.750 a is stalled
            8.751 GET #1 <- 200 by b
        "#]],
    );
}

#[test]
fn a_post_on_a_hung_server_ends_with_503() {
    check(
        2,
        "0 GET; 1 a hang; 2 POST; 200 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            2.000 POST #2 -> a
            2.250 probe -> a
            2.500 a is stalled
            7.250 probe -> a
            10.000 a is ejected for 10s: server not responding
            20.000 POST #2 <- 503 by balancer
        "#]],
    );
}

#[test]
fn a_hung_server_on_probation_gets_no_requests() {
    let requests = |method| (1..80).map(|n| format!("{} {method}; ", f64::from(n) / 2.0 + 12.0)).collect::<String>();
    for method in ["POST", "GET"] {
        let trace = run(2, |_| (), &format!("0 GET; 1 a hang; 2 POST; {} 60 end", requests(method)));
        let later: Vec<_> =
            trace.responses.iter().filter(|response| response.latency > Duration::from_millis(10)).collect();
        assert!(trace.to_string().contains("10.000 a is ejected for 10s"), "{trace}");
        assert_eq!(later.len(), 1, "only the POST that was in flight when the server hung: {later:?}");
    }
}

#[test]
fn the_only_server_is_never_stalled() {
    check(
        1,
        "0 a slow; 0 probe a hang; 1 GET; 100 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.000 probe -> a
            6.000 a is unhealthy: response timeout
            61.000 GET #1 <- 200 by a
            61.000 probe -> a
        "#]],
    );
}

#[test]
fn requests_on_a_hung_server_share_one_liveness_probe() {
    let gets = (0..800).map(|n| format!("{} GET; ", f64::from(n) / 100.0)).collect::<String>();
    let trace = run(2, |_| (), &format!("{gets} 5 a hang; 10 end"));
    let slowest = trace.responses.iter().map(|response| response.latency).max().unwrap();
    all_served(&trace, 800);
    assert!(slowest <= Duration::from_millis(510), "250 ms for the response and 250 ms for the probe: {slowest:?}");
    assert_eq!(trace.probes["a"], 2, "one at the start, one for all waiting requests");
}

#[test]
fn a_request_without_another_server_ends_ten_seconds_after_its_server_hung() {
    let writes = |service: &mut Service| service.writes = Writes::PrimaryOnly;
    let trace = run(2, writes, "0 GET; 1 a slow; 1 probe a hang; 2 PUT; 100 end");
    assert_eq!((trace.responses[1].status.as_u16(), trace.responses[1].attempts), (503, 1));
    assert_eq!(
        trace.responses[1].latency,
        Duration::from_secs(18),
        "the server is hung after 8 s, and the request ends 10 s later"
    );

    let mut full = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].max_requests = Some(1));
    begin(&mut full, RequestMeta { affinity_server: Some(id(1)), ..get() }, at(0)).unwrap();
    let (mut exchange, mut attempt) = start(&mut full, get(), at(1));
    let wait = exchange.wait(&mut full, &mut attempt, true, at(50_000));
    assert!(matches!(wait, Wait::Sleep(_)), "the other server is at its limit: {wait:?}");
}

#[test]
fn a_liveness_probe_is_bounded_by_the_deadline() {
    let took = |adjust: fn(&mut Service)| {
        let no_hedges = |service: &mut Service| {
            service.retry.hedge = false;
            adjust(service);
        };
        run(2, no_hedges, "0 GET; 1 a hang; 2 GET; 30 end").responses[1].latency
    };
    assert_eq!(took(|service| service.retry.timeout = Duration::from_secs(4)), Duration::from_secs(4));
    let limit = took(|service| service.retry.per_try_timeout = Some(Duration::from_millis(3_500)));
    assert_eq!(limit, Duration::from_millis(3_501), "plus the millisecond of the other server");
}

#[test]
fn stale_probe_failure_does_not_eject() {
    // The liveness check is at 95 s. The probe for the POST failed at 84 s.
    let script = "0 GET; 1 a late; 1 probe a 200; 2 GET; 80 probe a 500; 86 probe a 200; 84 POST; 110 end";
    let trace = run(2, |_| (), script).to_string();
    assert!(!trace.contains("ejected"), "{trace}");
    let late = run(2, |_| (), "0 probe a hang; 0 a slow; 0 POST; 0.5 probe a 200; 4.5 GET; 80 end").to_string();
    assert!(!late.contains("ejected"), "the probe started before the request:\n{late}");
}
