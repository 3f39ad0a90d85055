//! Valid files and the configurations that they give.

mod validator;

use std::time::Duration;

use tunnel_balancer_config::{Config, parse, parse_with};
use tunnel_balancer_core::{
    Failback, HashOn, HealthCheck, Policy, Server, ServerHealthCheck, ServerUrl, Service, StatusRanges, Writes,
};

/// Parses a valid file, which the schema must accept, too.
fn load(yaml: &str) -> Config {
    validator::check(yaml).unwrap_or_else(|error| panic!("the schema rejects it: {error}\n{yaml}"));
    let config = parse_with(yaml, &|_| Some("0123456789abcdef".to_owned())).unwrap_or_else(|errors| panic!("{errors}"));
    for service in &config.services {
        service.check().unwrap_or_else(|error| panic!("the core rejects it: {error}\n{yaml}"));
    }
    parse(yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

fn server(url: &str) -> Server {
    Server::new(url.parse::<ServerUrl>().unwrap())
}

/// Returns the only service of `yaml`.
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
fn the_default_name_of_a_server_is_its_first_label() {
    let service = service(
        "services:
           a.example.com:
             - a-1.example.com
             - { url: a-1.example.net, name: far.server:2 }
             - 127.0.0.1:8001
             - 127.0.0.1:8002
             - http://[::1]:8001",
    );
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["a-1", "far.server:2", "127.0.0.1:8001", "127.0.0.1:8002", "[::1]:8001"]);
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
fn settings_of_servers_are_read() {
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
fn all_servers_may_be_disabled_during_maintenance() {
    let service = service("services: { a.test: { maintenance: true, servers: [{ url: a.example, enabled: false }] } }");
    assert!(service.maintenance && !service.servers()[0].enabled);
}

#[test]
fn policies_and_failbacks_are_words_or_maps() {
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
fn services_change_and_disable_settings_of_the_defaults() {
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
      { per_try_timeout: false, hold: false, liveness_check_after: false, hedge: true, statuses: [],
        budget: { percent: 20 } }
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
fn secrets_are_looked_up_by_name_and_listed() {
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
fn maps_are_merged_over_the_defaults_key_by_key() {
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
fn the_health_check_of_a_server_is_merged_over_that_of_the_service() {
    let service = service(
        "services:
           a.example.com:
             health_check: { path: /health, interval: 1m, timeout: 2s }
             servers:
               - a-1.example.com
               - { url: a-2.example.com, health_check: /other }
               - { url: a-3.example.com, health_check: { interval: 5s } }
               - { url: a-4.example.com, health_check: false }
               - { url: a-5.example.com, health_check: { path: /health } }
               - { url: a-6.example.com, health_check: true }",
    );
    let s = Duration::from_secs;
    let checks = service.all().iter().map(|id| service.health_check_of(id).cloned());
    let checks: Vec<_> = checks.map(|check| check.map(|it| (it.path, it.interval, it.unhealthy_interval))).collect();
    let shared = Some(("/health".to_owned(), s(60), s(10)));
    let expected = [
        shared.clone(),
        Some(("/other".to_owned(), s(60), s(10))),
        Some(("/health".to_owned(), s(5), s(5))),
        None,
        shared.clone(),
        shared,
    ];
    assert_eq!(checks, expected);
    let third = service.health_check_of(service.all().iter().nth(2).unwrap()).unwrap();
    assert_eq!(third.timeout, s(2));
    let own = service.servers().iter().filter(|server| server.health_check != ServerHealthCheck::Inherit).count();
    assert_eq!(own, 3, "the others do not differ");
}

#[test]
fn a_path_is_short_for_a_health_check() {
    let yaml =
        |check: &str| format!("services: {{ a.example.com: {{ servers: a-1.example.com, health_check: {check} }} }}");
    assert_eq!(service(&yaml("/health?x")), service(&yaml("{ path: /health?x }")));
    let off = format!("defaults: {{ health_check: false }}\n{}", yaml("/health"));
    assert_eq!(service(&off).health_check.unwrap().path, "/health");
}

#[test]
fn services_enable_probes_that_the_defaults_disable() {
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
fn yaml_syntax_is_supported() {
    let service = service(
        "%YAML 1.2\n--- # a comment\n\"services\": &all\n  ? 'a.example.com'\n  : servers: &list\n    - \
         'a-1.example.com'\n    - >-\n      a-2.example.com\n    health_check: { path: !!str /health }\n...\n",
    );
    assert_eq!(service.servers(), [server("a-1.example.com"), server("a-2.example.com")]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let text = "services:\n  a.example.com: b.example.com\n";
    assert_eq!(parse(&format!("\u{feff}{text}")), parse(text));
    let errors = parse("\u{feff}servcies: 1").unwrap_err();
    assert_eq!((errors.diagnostics()[0].line, errors.diagnostics()[0].column), (1, 1));
}

#[test]
fn parse_with_returns_no_warnings() {
    let yaml = "services: { a.example.com: http://a-1.example.com }";
    assert_eq!(load(yaml).warnings.len(), 1);
    assert_eq!(parse_with(yaml, &|_| None).unwrap().warnings, []);
}
