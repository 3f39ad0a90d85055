//! The defaults in the schema and in the reference are those of the core.
//!
//! A file that sets a key to its documented default must give the same configuration as a file
//! without the key, whose value is the core's.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tunnel_balancer_config::{parse, schema};
use tunnel_balancer_core::Service;

/// A documented default, with the path from a service to its key.
type Default = (Vec<String>, Value);

#[test]
fn defaults_of_the_schema_are_those_of_the_core() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut defaults = Vec::new();
    collect(&schema, &schema["properties"]["services"]["additionalProperties"], &[], &mut defaults);
    check(&defaults);
}

#[test]
fn defaults_of_the_reference_are_those_of_the_core() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let mut defaults = Vec::new();
    let mut path = None;
    for line in fs::read_to_string(page).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            path = match title {
                // See `notify.rs` and `status.rs` for the others.
                "The file" | "A target of `notify`" | "`status`" => None,
                "A service" => Some(Vec::new()),
                "A server" => Some(vec!["servers".to_owned()]),
                keys => Some(keys.trim_matches('`').split('.').map(str::to_owned).collect()),
            };
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        let (Some(path), [key, _, default, _]) = (&path, &cells[..]) else { continue };
        let Some(key) = key.strip_prefix("| `").and_then(|key| key.strip_suffix('`')) else { continue };
        if let Some(default) = default.strip_prefix('`').and_then(|default| default.strip_suffix('`')) {
            let value = serde_json::from_str(default).unwrap_or_else(|_| json!(default));
            defaults.push(([&path[..], &[key.to_owned()]].concat(), value));
        }
    }
    check(&defaults);
}

/// Collects the defaults of a schema and of the schemas in it.
fn collect(root: &Value, schema: &Value, path: &[String], defaults: &mut Vec<Default>) {
    let Value::Object(map) = schema else { return };
    if let Some(name) = map.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix("#/definitions/").unwrap();
        // The short form of a service is its list of servers.
        if name == "servers" && path.is_empty() {
            return;
        }
        return collect(root, &root["definitions"][name], path, defaults);
    }
    if let Some(default) = map.get("default") {
        defaults.push((path.to_vec(), default.clone()));
    }
    for key in ["anyOf", "allOf"] {
        let schemas = map.get(key).and_then(Value::as_array).into_iter().flatten();
        schemas.for_each(|schema| collect(root, schema, path, defaults));
    }
    map.get("items").into_iter().for_each(|items| collect(root, items, path, defaults));
    let properties = map.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (key, schema) in properties {
        collect(root, schema, &[path, std::slice::from_ref(key)].concat(), defaults);
    }
}

fn check(defaults: &[Default]) {
    let names = |(path, _): &Default| path.join(".");
    assert!(defaults.len() >= 35, "{:?}", defaults.iter().map(names).collect::<Vec<_>>());
    for (path, value) in defaults {
        let (with, without) = (service(path, Some(value)), service(path, None));
        assert_eq!(with, without, "{}: {value}", path.join("."));
    }
}

/// Returns the service of a file in which only the key at `path` is set, if at all.
fn service(path: &[String], value: Option<&Value>) -> Service {
    let (mut settings, mut server) = (Map::new(), Map::new());
    server.insert("url".to_owned(), json!("a-1.example.com"));
    if path.first().is_some_and(|key| key == "affinity") && path.len() > 1 {
        settings.insert("affinity".to_owned(), json!({ "cookie": "lb", "key": "${KEY}" }));
    }
    if let Some(value) = value {
        match path.split_first() {
            Some((first, rest)) if first == "servers" => insert(&mut server, rest, value),
            _ => insert(&mut settings, path, value),
        }
    }
    settings.insert("servers".to_owned(), json!([server, "a-2.example.com"]));
    let file = json!({ "services": { "a.example.com": settings } }).to_string();
    let config = parse(&file).unwrap_or_else(|errors| panic!("{errors}\n{file}"));
    config.services.into_iter().next().unwrap()
}

fn insert(map: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [key] => drop(map.insert(key.clone(), value.clone())),
        [key, rest @ ..] => {
            let inner = map.entry(key.clone()).or_insert_with(|| json!({}));
            insert(inner.as_object_mut().unwrap(), rest, value);
        }
        [] => {}
    }
}
