//! Valid settings of single servers and of their health checks.

mod validator;

use tunnel_balancer_config::{Config, parse};
use tunnel_balancer_core::{HealthCheck, HostHeader, ProbeKind, ServerHeader};

/// Parses a valid file, which the schema must accept, too.
fn load(yaml: &str) -> Config {
    validator::check(yaml).unwrap_or_else(|error| panic!("the schema rejects it: {error}\n{yaml}"));
    parse(yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn health_checks_of_servers_are_merged_over_those_of_the_service() {
    let yaml = "
defaults: { health_check: { path: /health, headers: { X-A: a, X-B: b } } }
services:
  a.example.com:
    servers:
      - { url: a-1.example.com, health_check: tcp }
      - { url: a-2.example.com, health_check: { method: HEAD, headers: { x-b: c }, port: 81, host: In.example:82 } }
      - a-3.example.com
";
    let config = load(yaml);
    let service = &config.services[0];
    let checks: Vec<&HealthCheck> = service.all().iter().map(|id| service.health_check_of(id).unwrap()).collect();
    let [tcp, head, inherited] = checks[..] else { panic!("three servers") };
    assert_eq!((tcp.kind, tcp.path.as_str()), (ProbeKind::Tcp, "/health"));
    assert_eq!((head.kind, head.path.as_str(), head.method.as_str()), (ProbeKind::Http, "/health", "HEAD"));
    assert_eq!((head.port, head.host.as_deref()), (Some(81), Some("In.example:82")));
    assert_eq!(head.headers, [ServerHeader::new("x-b", "c")], "the map of the service is replaced");
    assert_eq!(inherited.headers.len(), 2);
}

#[test]
fn hosts_and_certificates_of_servers_are_read() {
    let mut config = load(
        "services:
           a.example.com:
             - { url: a-1.example.com, host_header: public, tls: { ca: ca.pem, server_name: a.internal } }
             - { url: a-2.example.com, host_header: A.internal:81, tls: { ca: /etc/ca.pem } }
             - { url: a-3.example.com, tls: { insecure_skip_verify: true } }",
    );
    config.resolve_files("/srv/map/services.yaml".as_ref());
    let servers = config.services[0].servers();
    let hosts: Vec<&HostHeader> = servers.iter().map(|server| &server.host_header).collect();
    assert_eq!(hosts, [&HostHeader::Public, &HostHeader::Name("A.internal:81".to_owned()), &HostHeader::Server]);
    let files: Vec<Option<&str>> = servers.iter().map(|server| server.tls.ca.as_deref()).collect();
    assert_eq!(files, [Some("/srv/map/ca.pem"), Some("/etc/ca.pem"), None]);
    assert_eq!(servers[0].tls.server_name.as_deref(), Some("a.internal"));
    assert!(servers[2].tls.insecure_skip_verify && !servers[0].tls.insecure_skip_verify);
}
