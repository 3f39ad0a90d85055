//! The JSON Schema of a file, with which editors complete, explain and check it.
//!
//! It is draft 7, which all editors support. A schema describes one value at a time. It accepts
//! some invalid files: with durations out of range, contradicting settings or duplicate names.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json, json};
use tunnel_balancer_core::limits;

use crate::duration;
use crate::file;
use crate::json::as_json;
use crate::size;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

/// Returns the JSON Schema of `services.yaml`.
pub fn schema() -> String {
    let mut writer = Writer { shared: BTreeMap::new() };
    let mut root = writer.schema(&file::SCHEMA);
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("services.yaml of Tunnel Balancer"));
    root.insert("definitions".to_owned(), json!(writer.shared));
    let mut root = Json::Object(root);
    // Other crates of the program may enable `preserve_order`.
    root.sort_all_objects();
    format!("{root:#}\n")
}

struct Writer {
    /// Schemas that several settings share.
    shared: BTreeMap<&'static str, Json>,
}

impl Writer {
    fn schema(&mut self, schema: &ValueSchema) -> Map<String, Json> {
        object(match schema {
            ValueSchema::Disabled => json!({ "const": false }),
            ValueSchema::Boolean => json!({ "type": "boolean" }),
            ValueSchema::Number(range) | ValueSchema::Percent(range) => whole(range),
            ValueSchema::Duration(_) => duration(),
            ValueSchema::Size(range) => json!({ "anyOf": [whole(range), size()] }),
            ValueSchema::Statuses { least, may_be_empty } => statuses(*least, *may_be_empty),
            ValueSchema::String(it) => text(it),
            ValueSchema::Enum(words) => json!({ "enum": words() }),
            ValueSchema::OneOf(schemas) => json!({ "anyOf": self.all(schemas) }),
            ValueSchema::List(item, most) => {
                json!({ "type": "array", "items": self.schema(item), "minItems": 1, "maxItems": most })
            }
            ValueSchema::Map(keys) => self.map(&keys()),
            ValueSchema::MapOf { keys, values, may_be_empty } => json!({
                "type": "object",
                "propertyNames": text(keys),
                "additionalProperties": self.schema(values),
                "minProperties": usize::from(!may_be_empty),
            }),
            ValueSchema::Shared(name, schema) => {
                if !self.shared.contains_key(name) {
                    let schema = self.schema(schema);
                    self.shared.insert(name, Json::Object(schema));
                }
                json!({ "$ref": format!("#/definitions/{name}") })
            }
        })
    }

    fn all(&mut self, schemas: &[ValueSchema]) -> Vec<Map<String, Json>> {
        schemas.iter().map(|schema| self.schema(schema)).collect()
    }

    fn map(&mut self, keys: &[SettingDoc]) -> Json {
        let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let properties: Map<String, Json> = keys.iter().map(|key| (key.name.to_owned(), self.key(key))).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn key(&mut self, doc: &SettingDoc) -> Json {
        let mut schema = self.schema(&doc.schema);
        if schema.contains_key("$ref") {
            // Draft 7 ignores other keys beside a reference.
            schema = object(json!({ "allOf": [schema] }));
        }
        schema.insert("description".to_owned(), json!(doc.text));
        if let Some(default) = as_json(doc.default).filter(|default| !default.is_null()) {
            schema.insert("default".to_owned(), default);
        }
        Json::Object(schema)
    }
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

fn whole<T: serde::Serialize>(range: &RangeInclusive<T>) -> Json {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

/// Returns a pattern for durations. A pattern cannot express ranges, but it excludes zero.
fn duration() -> Json {
    let units: String = duration::UNITS.iter().map(|(unit, _)| format!("([0-9]+{unit})?")).collect();
    let message = "expected a duration such as 500ms, 30s or 1h30m";
    json!({
        "type": "string",
        "allOf": [pattern(&format!("^{units}$"), message), pattern("[1-9]", message)],
    })
}

fn size() -> Json {
    let units: Vec<&str> = size::UNITS.iter().map(|(unit, _)| *unit).collect();
    string(&format!("^[0-9]+({})?$", units.join("|")), "expected a size such as 64KiB or 1MiB")
}

fn statuses(least: u16, may_be_empty: bool) -> Json {
    let range = least..=*limits::STATUS.end();
    let status = format!(r"\s*0*[{}-{}][0-9]{{2}}\s*", range.start() / 100, range.end() / 100);
    let text = string(&format!("^{status}(-{status})?$"), "expected a status or a range such as 200-299");
    let one = [whole(&range), text];
    let list = json!({ "type": "array", "items": { "anyOf": one }, "minItems": usize::from(!may_be_empty) });
    let [number, text] = one;
    json!({ "anyOf": [number, text, list] })
}

fn text(StringSchema { what, pattern, longest }: &StringSchema) -> Json {
    let mut schema = object(string(pattern, &format!("expected {what}")));
    schema.extend(longest.map(|longest| ("maxLength".to_owned(), json!(longest))));
    Json::Object(schema)
}

fn string(pattern: &str, message: &str) -> Json {
    json!({ "type": "string", "pattern": pattern, "patternErrorMessage": message })
}

/// Returns a pattern with the message that editors with `patternErrorMessage` show instead of it.
fn pattern(pattern: &str, message: &str) -> Json {
    json!({ "pattern": pattern, "patternErrorMessage": message })
}

#[cfg(test)]
pub(crate) mod tests;
