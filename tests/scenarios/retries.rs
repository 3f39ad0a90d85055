//! Retries beyond the first round: budget, pauses, and settings that change what is tried again.

use std::time::Duration;

use expect_test::expect;
use tunnel_balancer_core::{Server, Service};
use tunnel_balancer_sim::{Behavior, Client, Sim};

use crate::{check_with, run, without_probes};

fn holding(service: &mut Service) {
    service.retry.hold = Some(Duration::from_secs(5));
}

#[test]
fn a_held_request_waits_for_a_server_to_return() {
    check_with(
        1,
        holding,
        "0 GET; 1 a refuse; 2 GET; 2.1 GET; 3 a 200; 4 end",
        expect![[r#"
        0.000 GET #1 -> a
        0.000 probe -> a
        0.001 GET #1 <- 200 by a
        0.001 a is healthy
        2.000 GET #2 -> a
        2.001 a is ejected for 10s: connection failed
        2.100 probe -> a
        2.251 GET #2 -> a
        2.502 GET #2 -> a
        2.753 GET #2 -> a
        3.004 GET #2 -> a
        3.005 GET #2 <- 200 by a (last resort)
        3.005 a is unejected
        3.100 GET #3 -> a
        3.101 GET #3 <- 200 by a
    "#]],
    );
}

#[test]
fn a_held_request_ends_when_its_time_is_over() {
    let trace = run(1, holding, "0 a refuse; 1 GET; 20 end");
    let response = &trace.responses[0];
    assert_eq!(response.status, 503);
    assert_eq!(response.latency.as_secs(), 5, "{:?}", response.latency);
}

#[test]
fn a_held_request_is_sent_once_per_interval_however_many_servers_fail() {
    for servers in [1, 2, 5] {
        let fail = (b'a'..).take(servers).map(|name| format!("1 {} 502; ", char::from(name))).collect::<String>();
        let trace = run(servers, holding, &format!("0 GET; {fail} 2 GET; 12 end"));
        let attempts: usize = trace.requests.values().sum::<usize>() - 1;
        // The first attempts, and then one every 250 ms for 5 s.
        let most = servers.min(3) + 20;
        assert!((most - 2..=most).contains(&attempts), "{servers} servers: {attempts} attempts, {:?}", trace.requests);
        let least = trace.requests.values().min();
        assert!(trace.requests.len() == servers && least >= Some(&(20 / servers)), "{:?} take turns", trace.requests);
    }
}

#[test]
fn a_held_request_leaves_a_hung_server_for_one_that_returned() {
    let script = "0 GET; 60 a 530; 60 b 530; 60.1 GET; 60.6 a hang; 60.6 b hang; 61 a 200; 90 end";
    let response = &run(2, holding, script).responses[1];
    assert_eq!(response.status, 200);
    assert!(response.latency < Duration::from_secs(2), "{:?}", response.latency);
}

#[test]
fn a_held_request_is_sent_to_a_server_that_returned_before_others_that_fail() {
    let names: Vec<_> = (b'a'..=b'z').map(char::from).map(String::from).collect();
    let servers = names.iter().map(|name| Server::new(format!("{name}.example").parse().unwrap())).collect();
    let mut service = Service::new("app.example", servers).unwrap();
    holding(&mut service);
    let mut sim = Sim::new(service, 1);
    sim.probe_continuously();
    names.iter().for_each(|name| sim.server(Duration::ZERO, name, Behavior::status(530)));
    sim.server(Duration::from_secs(41), "a", Behavior::status(200));
    // The second request finds out that the server has returned.
    sim.get(Duration::from_secs(40));
    (0..20).for_each(|n| sim.get(Duration::from_millis(41_010 + n * 50)));
    let trace = sim.run(Duration::from_secs(60));
    let slowest = trace.responses.iter().map(|response| response.latency).max().unwrap();
    assert!(trace.responses.iter().all(|response| response.status == 200), "{:?}", trace.responses);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[test]
fn held_requests_whose_clients_left_take_no_place() {
    let mut service = Service::new("app.example", vec![Server::new("a.example".parse().unwrap())]).unwrap();
    service.retry.hold = Some(Duration::from_secs(30));
    let mut sim = Sim::new(service, 1);
    sim.server(Duration::ZERO, "a", Behavior::status(530));
    sim.server(Duration::from_secs(5), "a", Behavior::status(200));
    for n in 0..1_000 {
        sim.client(
            Client::new(Duration::from_millis(1_000 + n), Duration::from_secs(1_000))
                .timeout(Duration::from_millis(20)),
        );
    }
    sim.get(Duration::from_secs(4));
    let responses = sim.run(Duration::from_secs(40)).responses;
    assert_eq!(responses.iter().map(|response| response.status.as_u16()).collect::<Vec<_>>(), [200]);
}

#[test]
fn requests_that_wait_for_a_free_place_use_every_place() {
    let mut servers = vec![Server::new("a.example".parse().unwrap())];
    servers[0].max_requests = Some(2);
    let mut service = Service::new("app.example", servers).unwrap();
    holding(&mut service);
    let mut sim = Sim::new(service, 1);
    sim.server(Duration::ZERO, "a", Behavior::status(200).after(Duration::from_millis(20)));
    (0..100).for_each(|_| sim.get(Duration::from_secs(1)));
    let responses = sim.run(Duration::from_secs(40)).responses;
    let served = responses.iter().filter(|response| response.status == 200).count();
    assert_eq!(served, 100, "a hundred requests take a second");
}

#[test]
fn held_requests_try_a_server_one_at_a_time() {
    let gets = (0..360).map(|n| format!("{} GET; ", 2.0 + f64::from(n) / 100.0)).collect::<String>();
    for outage in ["refuse", "reset", "502"] {
        let trace = run(1, holding, &format!("0 GET; 1 a {outage}; {gets} 6 a 200; 12 end"));
        assert!(trace.responses.iter().all(|response| response.status == 200), "{outage}");
        assert!(trace.requests["a"] < 361 + 40, "{outage}: {} attempts for 361 requests", trace.requests["a"]);
    }
}

#[test]
fn a_request_is_held_for_a_free_place() {
    let held = |hold: Option<u64>| {
        let mut servers = vec![Server::new("a.example".parse().unwrap())];
        servers[0].max_requests = Some(1);
        let mut service = Service::new("app.example", servers).unwrap();
        service.retry.hold = hold.map(Duration::from_secs);
        let mut sim = Sim::new(service, 1);
        sim.server(Duration::ZERO, "a", Behavior::status(200).after(Duration::from_secs(2)));
        (0..3).for_each(|_| sim.get(Duration::ZERO));
        let trace = sim.run(Duration::from_secs(20));
        trace.responses.iter().map(|response| response.status.as_u16()).collect::<Vec<_>>()
    };
    assert_eq!(held(None), [503, 503, 200]);
    assert_eq!(held(Some(3)), [200, 503, 200], "the third would wait for four seconds");
    assert_eq!(held(Some(5)), [200, 200, 200]);
}

#[test]
fn rty_18_when_everybody_fails_retries_stay_within_the_budget() {
    let gets = (0..1000).map(|n| format!("{} GET; ", 1.0 + f64::from(n) / 100.0)).collect::<String>();
    let trace = run(3, without_probes, &format!("0 a 502; 0 b 502; 0 c 502; {gets} 20 end"));
    let attempts: usize = trace.requests.values().sum();
    assert!((1_100..=1_210).contains(&attempts), "{attempts} attempts for 1000 requests");
    assert!(trace.responses.iter().all(|answer| answer.status == 502), "and every client gets the servers' own answer");
}

#[test]
fn a_server_without_a_blemish_takes_all_that_a_dead_one_dropped() {
    let gets = (0..200).map(|_| "1 GET; ").collect::<String>();
    let trace = run(2, without_probes, &format!("0 a reset; {gets} 2 end"));
    assert!(trace.responses.iter().all(|answer| answer.status == 200), "all were on their way when it died");
    assert_eq!(trace.requests["b"], 200);
}

#[test]
fn rty_10_a_limit_for_each_attempt_cuts_a_slow_one() {
    let cut = |service: &mut Service| {
        service.health_check = None;
        service.retry.per_try_timeout = Some(Duration::from_millis(500));
    };
    check_with(
        2,
        cut,
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
