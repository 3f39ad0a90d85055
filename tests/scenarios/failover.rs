//! Requests: the first server, the next one after a failure, and the response to the client.

use expect_test::expect;

use crate::{check, check_with, run, without_probes};

#[test]
fn sel_10_failover_selects_the_first_available_server() {
    check_with(
        2,
        without_probes,
        "1 GET; 2 POST; 3 end",
        expect![[r#"
          1.000 GET #1 -> a
          1.001 GET #1 <- 200 by a
          2.000 POST #2 -> a
          2.001 POST #2 <- 200 by a
    "#]],
    );
}

#[test]
fn sel_11_traffic_returns_to_the_first_server_after_its_trial() {
    check(
        2,
        "0 GET; 1 a 530; 2 GET; 3 GET; 4 a 200; 5 GET; 14 GET; 30 GET; 31 end",
        expect![[r#"
            0.000 GET #1 -> a
            0.000 probe -> a
            0.000 probe -> b
            0.001 GET #1 <- 200 by a
            0.001 a is healthy
            0.001 b is healthy
            2.000 GET #2 -> a
            2.001 GET #2 -> b
            2.001 a is ejected for 10s: status 530
            2.002 GET #2 <- 200 by b
            2.002 probe -> a
            3.000 GET #3 -> b
            3.001 GET #3 <- 200 by b
            5.000 GET #4 -> b
            5.001 GET #4 <- 200 by b
            14.000 GET #5 -> a (trial)
            14.000 probe -> a
            14.001 GET #5 <- 200 by a
            14.001 a is restored
            30.000 GET #6 -> a
            30.001 GET #6 <- 200 by a
        "#]],
    );
}

#[test]
fn rty_02_an_undelivered_post_is_retried() {
    check_with(
        2,
        without_probes,
        "0 a 530; 1 POST; 2 a refuse; 30 POST; 40 end",
        expect![[r#"
            1.000 POST #1 -> a
            1.001 POST #1 -> b
            1.001 a is ejected for 10s: status 530
            1.002 POST #1 <- 200 by b
            30.000 POST #2 -> a (trial)
            30.001 POST #2 -> b
            30.001 a is ejected for 20s: connection failed
            30.002 POST #2 <- 200 by b
        "#]],
    );
}

#[test]
fn rty_03_a_post_that_may_have_run_is_not_retried() {
    check_with(
        2,
        without_probes,
        "0 a reset; 1 POST; 2 a 502; 3 POST; 4 end",
        expect![[r#"
            1.000 POST #1 -> a
            1.001 POST #1 <- 503 by balancer
            3.000 POST #2 -> b
            3.001 POST #2 <- 200 by b
        "#]],
    );
}

#[test]
fn bod_02_a_streamed_body_is_sent_once() {
    check_with(
        2,
        without_probes,
        "0 a 530; 1 PUT streamed; 20 a refuse; 21 PUT streamed; 30 end",
        expect![[r#"
        1.000 PUT #1 -> a
        1.001 PUT #1 <- 503 by balancer
        1.001 a is ejected for 10s: status 530
        21.000 PUT #2 -> b
        21.001 PUT #2 <- 200 by b
    "#]],
    );
}

#[test]
fn rty_05_application_errors_are_passed_through() {
    check_with(
        2,
        without_probes,
        "0 a 500; 1 GET; 2 a 404; 3 GET; 4 end",
        expect![[r#"
          1.000 GET #1 -> a
          1.001 GET #1 <- 500 by a
          3.000 GET #2 -> a
          3.001 GET #2 <- 404 by a
    "#]],
    );
}

#[test]
fn rty_06_the_last_response_is_passed_through_if_all_fail() {
    check_with(
        2,
        without_probes,
        "0 a 502; 0 b 503; 1 GET; 2 end",
        expect![[r#"
          1.000 GET #1 -> a
          1.001 GET #1 -> b
          1.002 GET #1 <- 503 by b
    "#]],
    );
}

#[test]
fn undelivered_requests_end_with_a_local_503() {
    check_with(
        2,
        without_probes,
        "0 a 530; 0 b refuse; 1 GET; 2 GET; 3 end",
        expect![[r#"
            1.000 GET #1 -> a
            1.001 GET #1 -> b
            1.001 a is ejected for 10s: status 530
            1.002 GET #1 <- 503 by balancer
            1.002 b is ejected for 10s: connection failed
            2.000 GET #2 -> a
            2.001 GET #2 -> b
            2.002 GET #2 <- 503 by balancer (last resort)
        "#]],
    );
}

#[test]
fn rty_12_the_request_timeout_bounds_all_attempts() {
    check_with(
        2,
        without_probes,
        "0 a hang; 0 b hang; 1 GET; 200 end",
        expect![[r#"
        1.000 GET #1 -> a
        101.000 GET #1 <- 504 by balancer
    "#]],
    );
}

#[test]
fn rty_01_attempts_are_limited() {
    let trace = run(5, without_probes, "0 a 530; 0 b 530; 0 c 530; 1 GET; 2 end");
    assert_eq!(trace.responses[0].attempts, 3);
    assert_eq!(trace.discarded, 3, "BOD-16: responses that are not used are canceled");
    assert_eq!(trace.requests.len(), 3);
}
