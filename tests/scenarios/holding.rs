//! Held requests: the server, the rate of attempts and the length of the wait.

use std::time::Duration;

use expect_test::expect;
use tunnel_balancer_core::{Exchange, Failure, Finish, LocalReply, Outcome, Policy, Server, Service, Step};
use tunnel_balancer_sim::{Behavior, ClientRequest, Sim};

use crate::pool_driver::{at, get, pool, start, status};
use crate::{all_served, check_with, run};

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
        3.005 a is restored
        3.100 GET #3 -> a
        3.101 GET #3 <- 200 by a
    "#]],
    );
}

#[test]
fn a_held_request_ends_at_the_hold_timeout() {
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
        // The first attempts, then one every 250 ms for 5 s.
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
    // The second request observes that the server has recovered.
    sim.get(Duration::from_secs(40));
    (0..20).for_each(|n| sim.get(Duration::from_millis(41_010 + n * 50)));
    let trace = sim.run(Duration::from_secs(60));
    let slowest = trace.responses.iter().map(|response| response.latency).max().unwrap();
    all_served(&trace, 21);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[test]
fn held_requests_whose_clients_left_occupy_no_place() {
    let mut service = Service::new("app.example", vec![Server::new("a.example".parse().unwrap())]).unwrap();
    service.retry.hold = Some(Duration::from_secs(30));
    let mut sim = Sim::new(service, 1);
    sim.server(Duration::ZERO, "a", Behavior::status(530));
    sim.server(Duration::from_secs(5), "a", Behavior::status(200));
    for n in 0..1_000 {
        let request = ClientRequest::new(get()).timeout(Duration::from_millis(20));
        sim.request(Duration::from_millis(1_000 + n), request);
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
    // A hundred requests take a second at two places.
    all_served(&sim.run(Duration::from_secs(40)), 100);
}

#[test]
fn held_requests_try_a_server_one_at_a_time() {
    let gets = (0..360).map(|n| format!("{} GET; ", 2.0 + f64::from(n) / 100.0)).collect::<String>();
    for outage in ["refuse", "reset", "502"] {
        let trace = run(1, holding, &format!("0 GET; 1 a {outage}; {gets} 6 a 200; 12 end"));
        all_served(&trace, 361);
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
fn held_requests_are_not_charged_for_an_unavailable_server() {
    let mut state = pool(Policy::Failover, &[1], |_, change| {
        change(|service| {
            service.retry.hold = Some(Duration::from_secs(5));
            (service.retry.budget.percent, service.retry.budget.min_per_second) = (0, 0);
        });
    });
    let (mut exchange, attempt) = start(&mut state, get(), at(0));
    let mut step = exchange.report(&mut state, attempt, Outcome::Failed(Failure::Connect), at(0));
    let mut attempts = 1;
    for now in (250..5_000).step_by(250) {
        assert!(matches!(step, Step::Sleep(_)), "{step:?} at {now}");
        step = exchange.resume(&mut state, at(now));
        if let Step::Attempt(attempt) = step {
            attempts += 1;
            step = exchange.report(&mut state, attempt, status(502), at(now));
        }
    }
    assert!(attempts > 10, "{attempts}");
}

#[test]
fn a_held_request_that_is_sent_releases_its_place() {
    let mut state = pool(Policy::Failover, &[1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.retry.hold = Some(Duration::from_secs(60)));
    });
    let mut running = start(&mut state, get(), at(0));
    for n in 0..1_100 {
        let (mut next, Step::Sleep(_)) = Exchange::start(get(), &mut state, at(0)) else {
            panic!("no place for request {n}")
        };
        let (mut exchange, attempt) = running;
        exchange.report(&mut state, attempt, status(200), at(0));
        let Step::Attempt(attempt) = next.resume(&mut state, at(0)) else { panic!("no attempt") };
        running = (next, attempt);
    }
}

#[test]
fn a_thousand_requests_are_held_and_no_more() {
    let mut state = pool(Policy::Failover, &[1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.retry.hold = Some(Duration::from_secs(60)));
    });
    let _running = start(&mut state, get(), at(0));
    for _ in 0..1_000 {
        assert!(matches!(Exchange::start(get(), &mut state, at(0)).1, Step::Sleep(_)));
    }
    let step = Exchange::start(get(), &mut state, at(0)).1;
    assert_eq!(step, Step::Finish(Finish::LocalReply(LocalReply::Overloaded)));
}

#[test]
fn a_held_request_is_rejected_for_the_last_reason() {
    let mut state = pool(Policy::Failover, &[1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.retry.hold = Some(Duration::from_secs(1)));
    });
    let (mut running, attempt) = start(&mut state, get(), at(0));
    let (mut held, Step::Sleep(_)) = Exchange::start(get(), &mut state, at(0)) else { panic!("not held") };
    running.report(&mut state, attempt, status(200), at(250));
    let Step::Attempt(attempt) = held.resume(&mut state, at(250)) else { panic!("no attempt") };
    let step = held.report(&mut state, attempt, status(530), at(1_000));
    assert!(matches!(step, Step::Finish(Finish::LocalReply(LocalReply::Unavailable { .. }))), "{step:?}");
}
