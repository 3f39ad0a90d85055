//! A file as JSON, for validators of JSON Schemas.

use serde_json::{Value as Json, json};

use crate::node::{Node, Value};
use crate::yaml;

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
