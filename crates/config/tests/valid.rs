//! Files that are accepted, and what they mean.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tunnel_balancer_config::{Config, parse};
use tunnel_balancer_core::{HealthCheck, Server, ServerUrl, Service, StatusRanges};

fn load(yaml: &str) -> Config {
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
             servers: a-1.example.com
             policy: failover
             health_check:
               path: /healthz?full=1
               interval: 1m30s
               unhealthy_interval: 20s
               timeout: 500ms
               rise: 3
               fall: 4
               expect: [200, 301-308, \"404\"]
             retry: { attempts: 2, timeout: 1h, replay_limit: 1MiB }
             ejection: { failures: 5, base: 2s, max: 2s }
             served_by: false",
    );
    let check = service.health_check.as_ref().unwrap();
    assert_eq!(check.path, "/healthz?full=1");
    assert_eq!(check.interval, Duration::from_secs(90));
    assert_eq!(check.unhealthy_interval, Duration::from_secs(20));
    assert_eq!(check.timeout, Duration::from_millis(500));
    assert_eq!((check.rise, check.fall), (3, 4));
    assert_eq!(check.expect, StatusRanges(vec![(200, 200), (301, 308), (404, 404)]));
    assert_eq!((service.retry.attempts, service.retry.replay_limit), (2, 1 << 20));
    assert_eq!(service.retry.timeout, Duration::from_secs(3600));
    assert_eq!(service.ejection.failures, 5);
    assert_eq!((service.ejection.base, service.ejection.max), (Duration::from_secs(2), Duration::from_secs(2)));
    assert!(!service.served_by);
}

#[test]
fn a_service_is_read_over_the_defaults_key_by_key() {
    let config = load(
        "defaults:
  health_check: { path: /health, rise: 5 }
  retry: { attempts: 2 }
  served_by: false
services:
  plain.example.com: plain-1.example.com
  own.example.com:
    servers: own-1.example.com
    health_check: { path: /own, fall: 7 }
    served_by: true
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
    let served_by: Vec<bool> = config.services.iter().map(|service| service.served_by).collect();
    assert_eq!(served_by, [false, true, false, false]);
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
        assert!(!config.services.is_empty(), "{name}");
    }
}

#[test]
fn the_file_of_all_settings_shows_the_defaults() {
    let text = include_str!("../../../examples/all-settings.yaml");
    let expected = Service::new("chat.example.com", vec![server("chat-a.example.com"), server("chat-b.example.com")]);
    assert_eq!(service(text), expected.unwrap());
}
