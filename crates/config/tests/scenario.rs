//! Valid scenarios.

use std::time::Duration;

use tunnel_balancer_config::scenario::{Action, Scenario};
use tunnel_balancer_config::{parse, parse_scenario};
use tunnel_balancer_core::{Body, Service, StatusRanges};

fn scenario(yaml: &str, services: Option<&[Service]>) -> Scenario {
    parse_scenario(yaml, services).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn a_scenario_with_every_key_is_read() {
    let scenario = scenario(include_str!("../../../examples/scenarios/all-keys.yaml"), None);
    let s = Duration::from_secs;
    assert_eq!((scenario.service.host.as_str(), scenario.duration, scenario.isolates), ("app.example.com", s(600), 5));
    assert_eq!(scenario.service.retry.statuses, StatusRanges(vec![(500, 500)]));
    assert_eq!(scenario.client_timeout, Some(s(20)));
    let ms = Duration::from_millis;
    assert_eq!(scenario.latency, [("primary".to_owned(), ms(40)), ("replica".to_owned(), ms(70))]);

    let rates: Vec<_> = scenario.requests.iter().map(|stream| (stream.meta.method.as_str(), stream.rate)).collect();
    assert_eq!(rates, [("GET", 10.0), ("POST", 0.5), ("POST", 4.0)]);
    let burst = &scenario.requests[2];
    assert_eq!((burst.from, burst.until), (s(120), s(240)));
    assert_eq!((burst.meta.body, burst.meta.idempotency_key), (Body::Once, true));

    let at = |seconds, server| {
        scenario.timeline.iter().find(|change| change.at == s(seconds) && change.server == server).unwrap()
    };
    assert_eq!(
        (at(60, "primary").requests.action, at(60, "primary").probes.action),
        (Action::Status(530), Action::Status(530))
    );
    assert_eq!((at(120, "primary").requests.action, at(120, "primary").requests.after), (Action::Up, ms(40)));
    assert_eq!(at(210, "replica").requests.action, Action::Refuses);
    assert_eq!(at(240, "primary").requests.action, Action::Hangs);
    let full = at(360, "primary");
    assert_eq!((full.requests.action, full.requests.after, full.requests.stddev), (Action::Status(500), ms(5), ms(1)));
    assert_eq!((full.probes.action, full.probes.after, full.probes.stddev), (Action::Up, ms(40), ms(0)));
    assert!(full.reset_connections && !at(420, "primary").reset_connections);
    assert_eq!((at(420, "primary").probes.after, at(420, "primary").probes.action), (s(4), Action::Up));
}

#[test]
fn a_scenario_has_defaults_and_may_borrow_its_services() {
    let services = parse("services: { a.example.com: [b.example.net, c.example.net] }").unwrap().services;
    let text = "duration: 1m\nrequests: { GET: 1 }\ntimeline: { 30s: { c: 530 }, 0s: { c: up } }";
    let borrowed = scenario(text, Some(&services));
    assert_eq!(borrowed.service, services[0]);
    assert_eq!((borrowed.isolates, borrowed.client_timeout), (1, Some(Duration::from_secs(30))));
    assert_eq!(borrowed.latency[1], ("c".to_owned(), Duration::from_millis(50)));
    let times: Vec<u64> = borrowed.timeline.iter().map(|change| change.at.as_secs()).collect();
    assert_eq!(times, [0, 30], "in the order of time");

    let own = format!("services: {{ x.example.com: y.example.net }}\n{text}");
    assert_eq!(scenario(&own, Some(&services)).service, services[0], "those that are given come first");
    assert_eq!(scenario(&format!("client_timeout: false\nlatency: 9ms\n{text}"), Some(&services)).client_timeout, None);
}
