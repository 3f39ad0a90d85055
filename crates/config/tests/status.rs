//! The settings of the status endpoint: see `tests/invalid/status.txt` for invalid ones.

mod validator;

use serde_json::Value;
use tunnel_balancer_config::{parse, parse_with, schema};
use tunnel_balancer_status::StatusSettings;

#[test]
fn the_endpoint_is_off_unless_it_is_configured() {
    for yaml in
        ["services: { a.example.com: b.example.com }", "status: false\nservices: { a.example.com: b.example.com }"]
    {
        validator::check(yaml).unwrap();
        assert_eq!(parse(yaml).unwrap().status, None);
    }
}

#[test]
fn all_settings_are_read() {
    let yaml = r#"
status: { path: /ops/status/, token: "${BALANCER_STATUS_TOKEN}", public: true }
services:
  a.example.com: { title: My Chat, servers: b.example.com }
  c.example.com/api: d.example.com
  "*": e.example.com
"#;
    validator::check(yaml).unwrap();
    let config = parse_with(yaml, &|_| Some("0123456789abcdef".to_owned())).unwrap();
    let status = config.status.unwrap();
    let expected = ("/ops/status", Some("0123456789abcdef"), true);
    assert_eq!((status.path.as_str(), status.token.as_deref(), status.public), expected);
    assert!(!format!("{status:?}").contains("0123456789abcdef"));
    assert_eq!(config.secrets, ["BALANCER_STATUS_TOKEN"]);
    let titles: Vec<String> = config.services.iter().map(|service| service.title.clone()).collect();
    assert_eq!(titles, ["My Chat", "c/api", "default"]);
}

#[test]
fn the_documented_defaults_are_those_of_the_endpoint() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let map = schema["properties"]["status"]["anyOf"].as_array().unwrap();
    let keys = map.iter().find_map(|value| value["properties"].as_object()).unwrap();
    let defaults = StatusSettings::default();
    assert_eq!(keys["path"]["default"], defaults.path);
    assert_eq!(keys["public"]["default"], defaults.public);
    assert!(keys["token"]["default"].is_null() && defaults.token.is_none());
}

#[test]
fn white_space_around_a_title_is_removed() {
    let yaml = "services:\n  a.example.com:\n    servers: b.example.com\n    title: |\n      My Chat\n";
    validator::check(yaml).unwrap();
    assert_eq!(parse(yaml).unwrap().services[0].title, "My Chat");
}
