//! Files that are accepted, and what they mean.

mod validator;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tunnel_balancer_config::scenario::{Action, Scenario};
use tunnel_balancer_config::{Config, parse, parse_scenario, parse_with};
use tunnel_balancer_core::{
    Body, Failback, HashOn, HealthCheck, Policy, Server, ServerUrl, Service, StatusRanges, Writes,
};

/// Whatever is accepted here, an editor must accept, too.
fn load(yaml: &str) -> Config {
    validator::check(yaml).unwrap_or_else(|error| panic!("the schema refuses it: {error}\n{yaml}"));
    parse(yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

fn server(url: &str) -> Server {
    Server::new(url.parse::<ServerUrl>().unwrap())
}

/// The only service of `yaml`.
fn service(yaml: &str) -> Service {
    let [service] = <[Service; 1]>::try_from(load(yaml).services).unwrap();
    service
}

#[test]
fn the_three_forms_of_a_service_mean_the_same() {
    let plain = |servers| Service::new("a.example.com", servers).unwrap();
    let (one, two) = (server("a-1.example.com"), server("http://127.0.0.1:8080/base"));
    let table = [
        ("services: { a.example.com: a-1.example.com }", vec![one.clone()]),
        ("services: { a.example.com: [a-1.example.com] }", vec![one.clone()]),
        ("services: { a.example.com: [{ url: https://a-1.example.com/ }] }", vec![one.clone()]),
        ("services: { a.example.com: { servers: a-1.example.com } }", vec![one.clone()]),
        ("services: { A.Example.com.: { servers: [a-1.example.com] } }", vec![one.clone()]),
        ("services:\n  a.example.com:\n  - a-1.example.com\n  - http://127.0.0.1:8080/base/\n", vec![one, two]),
    ];
    for (yaml, servers) in table {
        assert_eq!(service(yaml), plain(servers), "{yaml}");
    }
}

#[test]
fn servers_are_named_after_their_first_label_or_as_written() {
    let service = service(
        "services:
           a.example.com:
             - a-1.example.com
             - { url: a-1.example.net, name: far.away:2 }
             - 127.0.0.1:8001
             - 127.0.0.1:8002
             - http://[::1]:8001",
    );
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["a-1", "far.away:2", "127.0.0.1:8001", "127.0.0.1:8002", "[::1]:8001"]);
}

#[test]
fn every_setting_is_read() {
    let service = service(
        "services:
           a.example.com:
             servers: [{ url: a-1.example.com, weight: 0, backup: true, max_requests: 100000 }, a-2.example.com]
             policy: random
             writes: primary_only
             slow_start: 30s
             affinity: { cookie: __Host-lb, ttl: 168h, key: \"${A_KEY}\" }
             health_check:
               path: /healthz?full=1
               interval: 1m30s
               unhealthy_interval: 20s
               timeout: 500ms
               rise: 3
               fall: 4
               expect_status: [200, 301-308, \"404\"]
               expect_header: { name: X-App, contains: ok }
               expect_body: '\"up\": true'
             retry:
               attempts: 2
               hold: 5s
               timeout: 1h
               per_try_timeout: 10s
               liveness_check_after: 1s
               hedge: false
               statuses: [500, 429]
               passthrough_statuses: 503
               non_idempotent: true
               budget: { percent: 100, min_per_second: 0 }
               max_buffered_body: 1MiB
             ejection: { consecutive_failures: 5, window_failures: 20, base_time: 2s, max_time: 2s, max_percent: 50 }
             served_by_header: false",
    );
    assert_eq!((&service.policy, service.writes), (&Policy::Random, Writes::PrimaryOnly));
    assert_eq!(service.slow_start, Some(Duration::from_secs(30)));
    let affinity = service.affinity.as_ref().unwrap();
    assert_eq!((affinity.cookie.as_str(), affinity.ttl), ("__Host-lb", Duration::from_secs(7 * 24 * 3600)));
    let mut first = server("a-1.example.com");
    (first.weight, first.backup, first.max_requests) = (0, true, Some(100_000));
    assert_eq!(service.servers(), [first, server("a-2.example.com")]);
    let retry = &service.retry;
    assert_eq!((retry.hedge, retry.non_idempotent), (false, true));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(retry.hold, seconds(5));
    assert_eq!((retry.per_try_timeout, retry.liveness_check_after), (seconds(10), seconds(1)));
    assert_eq!(retry.statuses, StatusRanges(vec![(500, 500), (429, 429)]));
    assert_eq!(retry.passthrough_statuses, StatusRanges(vec![(503, 503)]));
    assert_eq!((retry.budget.percent, retry.budget.min_per_second), (100, 0));
    assert_eq!(service.ejection.max_percent, 50);
    let check = service.health_check.as_ref().unwrap();
    assert_eq!(check.path, "/healthz?full=1");
    assert_eq!(check.interval, Duration::from_secs(90));
    assert_eq!(check.unhealthy_interval, Duration::from_secs(20));
    assert_eq!(check.timeout, Duration::from_millis(500));
    assert_eq!((check.rise, check.fall), (3, 4));
    assert_eq!(check.expect_status, StatusRanges(vec![(200, 200), (301, 308), (404, 404)]));
    assert_eq!(check.expect_header, Some(("X-App".to_owned(), "ok".to_owned())));
    assert_eq!(check.expect_body.as_deref(), Some("\"up\": true"));
    assert_eq!((service.retry.attempts, service.retry.max_buffered_body), (2, 1 << 20));
    assert_eq!(service.retry.timeout, Duration::from_secs(3600));
    assert_eq!((service.ejection.consecutive_failures, service.ejection.window_failures), (5, Some(20)));
    assert_eq!(
        (service.ejection.base_time, service.ejection.max_time),
        (Duration::from_secs(2), Duration::from_secs(2))
    );
    assert!(!service.served_by_header);
}

#[test]
fn the_part_of_each_server_is_read() {
    let service = service(
        "services:
           a.example.com:
             - { url: a.example.net, weight: 1000, max_requests: 1 }
             - { url: b.example.net, backup: true }
             - { url: c.example.net, drain: true }
             - { url: d.example.net, enabled: false, max_requests: false }",
    );
    let mut expected: Vec<Server> = ["a", "b", "c", "d"].map(|name| server(&format!("{name}.example.net"))).into();
    (expected[0].weight, expected[0].max_requests) = (1000, Some(1));
    expected[1].backup = true;
    expected[2].drain = true;
    expected[3].enabled = false;
    assert_eq!(service.servers(), expected);
}

#[test]
fn policies_and_failbacks_are_read_as_words_or_maps() {
    let with =
        |setting: &str| service(&format!("services: {{ a.example.com: {{ servers: a-1.example.com, {setting} }} }}"));
    let policies = [
        ("failover", Policy::Failover),
        ("round_robin", Policy::RoundRobin),
        ("random", Policy::Random),
        ("least_requests", Policy::LeastRequests),
        ("latency", Policy::Latency),
        ("hash", Policy::Hash(HashOn::ClientIp)),
        ("{ hash: client_ip }", Policy::Hash(HashOn::ClientIp)),
        ("{ hash: path }", Policy::Hash(HashOn::Path)),
        ("{ hash: { header: X-User } }", Policy::Hash(HashOn::Header("X-User".to_owned()))),
        ("{ hash: { cookie: session } }", Policy::Hash(HashOn::Cookie("session".to_owned()))),
    ];
    for (yaml, policy) in policies {
        assert_eq!(with(&format!("policy: {yaml}")).policy, policy, "{yaml}");
    }
    let failbacks = [
        ("auto", Failback::Auto),
        ("manual", Failback::Manual),
        ("{ after: 10m }", Failback::After(Duration::from_secs(600))),
    ];
    for (yaml, failback) in failbacks {
        assert_eq!(with(&format!("failback: {yaml}")).failback, failback, "{yaml}");
    }
}

#[test]
fn what_the_defaults_turn_on_can_be_changed_and_turned_off() {
    let config = load(
        "defaults:
  policy: { hash: path }
  slow_start: 1m
  affinity: { cookie: lb, key: \"${KEY}\" }
  health_check: { expect_body: ok, expect_header: { name: X, contains: y } }
  retry: { per_try_timeout: 5s, hold: 5s, hedge: false, statuses: 500, budget: { percent: 50 } }
  ejection: { window_failures: 10 }
services:
  off.example.com:
    servers: off-1.example.com
    policy: failover
    slow_start: false
    affinity: false
    health_check: { expect_body: false, expect_header: false }
    retry:
      { per_try_timeout: false, hold: false, liveness_check_after: false, hedge: true, statuses: [], budget: { percent: 20 } }
    ejection: { window_failures: false }
  own.example.com:
    servers: own-1.example.com
    affinity: { ttl: 1h }
    retry: { budget: { min_per_second: 5 } }",
    );
    let [off, own] = <[Service; 2]>::try_from(config.services).unwrap();
    let mut expected = Service::new("off.example.com", vec![server("off-1.example.com")]).unwrap();
    expected.retry.liveness_check_after = None;
    expected.ejection.window_failures = None;
    assert_eq!(off, expected);
    let affinity = own.affinity.unwrap();
    assert_eq!((affinity.cookie.as_str(), affinity.ttl), ("lb", Duration::from_secs(3600)));
    assert_eq!((own.retry.budget.percent, own.retry.budget.min_per_second), (50, 5));
    assert_eq!((own.retry.hold, own.retry.hedge), (Some(Duration::from_secs(5)), false));
    assert_eq!(own.ejection.window_failures, Some(10));
    assert_eq!((own.policy, own.slow_start), (Policy::Hash(HashOn::Path), Some(Duration::from_secs(60))));
}

#[test]
fn secrets_are_asked_for_by_name_and_listed() {
    let yaml = "services:
  a.example.com: { servers: a-1.example.com, affinity: { cookie: lb, key: \"${KEY_B}\" } }
  b.example.com: { servers: b-1.example.com, affinity: { cookie: lb, key: \"${KEY_A}\" } }
  c.example.com: { servers: c-1.example.com, affinity: { cookie: lb, key: \"${KEY_B}\" } }
  d.example.com: d-1.example.com";
    let config = parse_with(yaml, &|name| Some(format!("{name} 6789 123456"))).unwrap();
    let keys: Vec<Option<&[u8]>> =
        config.services.iter().map(|service| service.affinity.as_ref().map(|it| it.key.as_slice())).collect();
    let (a, b): (&[u8], &[u8]) = (b"KEY_A 6789 123456", b"KEY_B 6789 123456");
    assert_eq!(keys, [Some(b), Some(a), Some(b), None]);
    assert_eq!(config.secrets, ["KEY_A", "KEY_B"]);
    assert_eq!(load(yaml).secrets, config.secrets, "known without knowing them");
    assert!(load("services: { a.example.com: a-1.example.com }").secrets.is_empty());
}

#[test]
fn a_service_is_read_over_the_defaults_key_by_key() {
    let config = load(
        "defaults:
  health_check: { path: /health, rise: 5 }
  retry: { attempts: 2 }
  served_by_header: false
services:
  plain.example.com: plain-1.example.com
  own.example.com:
    servers: own-1.example.com
    health_check: { path: /own, fall: 7 }
    served_by_header: true
  off.example.com: { servers: off-1.example.com, health_check: false }
  empty.example.com: { servers: empty-1.example.com, health_check: {}, retry: {} }",
    );
    let hosts: Vec<&str> = config.services.iter().map(|service| service.host.as_str()).collect();
    assert_eq!(hosts, ["plain.example.com", "own.example.com", "off.example.com", "empty.example.com"], "file order");
    let checks: Vec<Option<(&str, u32, u32)>> = config
        .services
        .iter()
        .map(|service| service.health_check.as_ref().map(|check| (check.path.as_str(), check.rise, check.fall)))
        .collect();
    assert_eq!(checks, [Some(("/health", 5, 2)), Some(("/own", 5, 7)), None, Some(("/health", 5, 2))]);
    assert!(config.services.iter().all(|service| service.retry.attempts == 2));
    let served_by_header: Vec<bool> = config.services.iter().map(|service| service.served_by_header).collect();
    assert_eq!(served_by_header, [false, true, false, false]);
}

#[test]
fn an_unhealthy_server_is_probed_at_least_as_often_as_a_healthy_one() {
    let table = [
        ("", "{}", 30, 10),
        ("", "{ interval: 6s }", 6, 6),
        ("", "{ interval: 10s }", 10, 10),
        ("", "{ interval: 6s, unhealthy_interval: 8s }", 6, 8),
        ("interval: 6s", "{ path: / }", 6, 6),
        ("interval: 6s", "{ interval: 1m }", 60, 10),
        ("interval: 6s", "true", 6, 6),
        ("unhealthy_interval: 5s", "{ interval: 6s }", 6, 5),
        ("unhealthy_interval: 20s", "{ interval: 6s }", 6, 20),
    ];
    for (defaults, own, interval, unhealthy_interval) in table {
        let check = service(&format!(
            "defaults: {{ health_check: {{ {defaults} }} }}\n\
             services: {{ a.example.com: {{ servers: a-1.example.com, health_check: {own} }} }}"
        ));
        let check = check.health_check.unwrap();
        let expected = (Duration::from_secs(interval), Duration::from_secs(unhealthy_interval));
        assert_eq!((check.interval, check.unhealthy_interval), expected, "{defaults} / {own}");
    }
}

#[test]
fn the_longest_ejection_is_at_least_as_long_as_the_first() {
    let table = [
        ("", "{}", 10, 300),
        ("", "{ base_time: 1m }", 60, 300),
        ("", "{ base_time: 10m }", 600, 600),
        ("base_time: 10m", "{ max_percent: 50 }", 600, 600),
        ("base_time: 10m", "{ base_time: 1m }", 60, 300),
        ("max_time: 1h", "{ base_time: 10m }", 600, 3600),
    ];
    for (defaults, own, base_time, max_time) in table {
        let ejection = service(&format!(
            "defaults: {{ ejection: {{ {defaults} }} }}\n\
             services: {{ a.example.com: {{ servers: a-1.example.com, ejection: {own} }} }}"
        ))
        .ejection;
        let expected = (Duration::from_secs(base_time), Duration::from_secs(max_time));
        assert_eq!((ejection.base_time, ejection.max_time), expected, "{defaults} / {own}");
    }
}

#[test]
fn probes_that_the_defaults_turn_off_can_be_turned_on() {
    let config = load(
        "defaults: { health_check: false }
services:
  off.example.com: off-1.example.com
  on.example.com: { servers: on-1.example.com, health_check: true }
  own.example.com: { servers: own-1.example.com, health_check: { rise: 1 } }",
    );
    let mut own = HealthCheck::default();
    own.rise = 1;
    let checks: Vec<Option<HealthCheck>> = config.services.into_iter().map(|service| service.health_check).collect();
    assert_eq!(checks, [None, Some(HealthCheck::default()), Some(own)]);
}

#[test]
fn what_yaml_allows_is_read_as_yaml_means_it() {
    let service = service(
        "%YAML 1.2\n--- # a comment\n\"services\": &all\n  ? 'a.example.com'\n  : servers: &list\n    - 'a-1.example.com'\n    - >-\n      a-2.example.com\n    health_check: { path: !!str /health }\n...\n",
    );
    assert_eq!(service.servers(), [server("a-1.example.com"), server("a-2.example.com")]);
}

#[test]
fn the_example_files_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let examples = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = examples.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    assert!(files.len() >= 3, "{files:?}");
    files.push(root.join("services.yaml"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display().to_string();
        let config = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.in_file(&name)));
        validator::check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!config.services.is_empty(), "{name}");
        assert_eq!(config.warnings, [], "{name}");
    }
}

#[test]
fn the_file_of_all_settings_shows_the_defaults() {
    let text = include_str!("../../../examples/all-settings.yaml");
    let expected = Service::new("chat.example.com", vec![server("chat-a.example.com"), server("chat-b.example.com")]);
    assert_eq!(service(text), expected.unwrap());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let text = "services:\n  a.example.com: b.example.com\n";
    assert_eq!(parse(&format!("\u{feff}{text}")), parse(text));
    let told = parse("\u{feff}servcies: 1").unwrap_err();
    assert_eq!((told.diagnostics()[0].line, told.diagnostics()[0].column), (1, 1));
}

#[test]
fn who_serves_is_told_no_warnings() {
    let yaml = "services: { a.example.com: http://a-1.example.com }";
    assert_eq!(load(yaml).warnings.len(), 1);
    assert_eq!(parse_with(yaml, &|_| None).unwrap().warnings, []);
}

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
    let services = load("services: { a.example.com: [b.example.net, c.example.net] }").services;
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
