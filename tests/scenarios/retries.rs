//! Retries: their budget and the timeout of an attempt.

use std::time::Duration;

use expect_test::expect;
use tunnel_balancer_core::Service;

use crate::{check_with, run, without_probes};

#[test]
fn rty_18_retries_stay_within_the_budget_if_all_servers_fail() {
    let gets = (0..1000).map(|n| format!("{} GET; ", 1.0 + f64::from(n) / 100.0)).collect::<String>();
    let trace = run(3, without_probes, &format!("0 a 502; 0 b 502; 0 c 502; {gets} 20 end"));
    let attempts: usize = trace.requests.values().sum();
    assert!((1_100..=1_210).contains(&attempts), "{attempts} attempts for 1000 requests");
    assert!(
        trace.responses.iter().all(|response| response.status == 502),
        "every client gets the response of a server"
    );
}

#[test]
fn retries_to_a_healthy_server_are_not_charged() {
    let gets = (0..200).map(|_| "1 GET; ").collect::<String>();
    let trace = run(2, without_probes, &format!("0 a reset; {gets} 2 end"));
    assert!(trace.responses.iter().all(|response| response.status == 200), "all were in flight when the server died");
    assert_eq!(trace.requests["b"], 200);
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
