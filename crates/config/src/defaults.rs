//! The defaults of settings and the values of a file as JSON, for the schema and the reference.

use serde_json::{Map, Value as Json, json};
use tunnel_balancer_core::Affinity;

use crate::duration::format_duration;
use crate::node::{Node, Value};
use crate::yaml;

/// A file with every setting at its default. A test compares it with the core.
const ALL_SETTINGS: &str = include_str!("../../../examples/all-settings.yaml");

/// The defaults of all settings.
pub(crate) struct Defaults(Json);

impl Defaults {
    pub(crate) fn new() -> Self {
        let mut file = as_json(ALL_SETTINGS).unwrap_or_default();
        let service = file.get_mut("services").and_then(Json::as_object_mut).and_then(|all| all.values_mut().next());
        Self(service.map(Json::take).unwrap_or_default())
    }

    /// Returns the default of a setting by its path below a service, such as `retry`, `budget`,
    /// `percent`. A map of settings has no default.
    pub(crate) fn of(&self, path: &[&str]) -> Option<Json> {
        match path {
            // They differ from server to server.
            ["servers", "url" | "name"] | ["servers"] | [] => return None,
            // Affinity is disabled in the file.
            ["affinity", "ttl"] => return Some(json!(format_duration(Affinity::new("", "").ttl))),
            _ => {}
        }
        let default = path.iter().try_fold(&self.0, |value, key| match value {
            Json::Array(servers) => servers.iter().find_map(|server| server.get(key)),
            map => map.get(key),
        });
        default.filter(|default| default.as_object().is_none_or(Map::is_empty)).cloned()
    }
}

/// Converts a file to JSON, for a validator of JSON Schemas. Values without an equivalent are null.
/// Returns `None` for a syntax error.
pub fn as_json(yaml: &str) -> Option<Json> {
    yaml::read(yaml).ok().map(|root| json(&root))
}

/// Converts a node to JSON.
pub(crate) fn json(node: &Node<'_>) -> Json {
    match &node.value {
        Value::Null | Value::Tagged(_) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::OtherNumber(text) => text.parse::<f64>().map_or(Json::Null, |number| json!(number)),
        Value::String(text) => json!(text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key_string(&key.value), json(value))).collect(),
    }
}

fn key_string(key: &Value<'_>) -> String {
    match key {
        Value::String(text) => text.clone().into_owned(),
        Value::Integer(number) => number.to_string(),
        Value::OtherNumber(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}
