//! The JSON Schema of a file: for editors, which complete, explain and check with it while somebody
//! types.
//!
//! Draft 7, because that is what every editor's YAML support understands: yaml-language-server
//! reads later ones since 1.20 only, and nothing later is wanted here. A schema sees one value at a
//! time. What it lets pass may still be wrong: units that are right but out of range, two settings
//! that contradict each other, names that are taken.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json, json};

use crate::defaults::Defaults;
use crate::duration;
use crate::file;
use crate::size;
use crate::statuses;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

/// The JSON Schema of `services.yaml`, as text.
pub fn schema() -> String {
    let mut writer = Writer { defaults: Defaults::new(), shared: BTreeMap::new() };
    let mut root = writer.schema(&file::SCHEMA, &[]);
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("services.yaml of Tunnel Balancer"));
    root.insert("definitions".to_owned(), json!(writer.shared));
    let mut root = Json::Object(root);
    // The same text, whichever order other crates of the program have this library keep.
    root.sort_all_objects();
    format!("{root:#}\n")
}

struct Writer {
    defaults: Defaults,
    /// What stands in more places than one.
    shared: BTreeMap<&'static str, Json>,
}

impl Writer {
    /// What may stand at `path`: the keys that lead there from a service on.
    fn schema(&mut self, schema: &ValueSchema, path: &[&str]) -> Map<String, Json> {
        object(match schema {
            ValueSchema::Disabled => json!({ "const": false }),
            ValueSchema::Boolean => json!({ "type": "boolean" }),
            ValueSchema::Number(range) | ValueSchema::Percent(range) => whole(range),
            ValueSchema::Duration(_) => duration(),
            ValueSchema::Size(range) => json!({ "anyOf": [whole(range), size()] }),
            ValueSchema::Statuses { least, may_be_empty } => statuses(*least, *may_be_empty),
            ValueSchema::String(it) => text(it),
            ValueSchema::Enum(words) => json!({ "enum": words() }),
            ValueSchema::OneOf(schemas) => json!({ "anyOf": self.all(schemas, path) }),
            ValueSchema::List(item, most) => {
                json!({ "type": "array", "items": self.schema(item, path), "minItems": 1, "maxItems": most })
            }
            ValueSchema::Map(keys) => self.map(&keys(), path),
            ValueSchema::MapOf { keys, values, may_be_empty } => json!({
                "type": "object",
                "propertyNames": text(keys),
                "additionalProperties": self.schema(values, path),
                "minProperties": usize::from(!may_be_empty),
            }),
            ValueSchema::Shared(name, schema) => {
                if !self.shared.contains_key(name) {
                    let schema = self.schema(schema, path);
                    self.shared.insert(name, Json::Object(schema));
                }
                json!({ "$ref": format!("#/definitions/{name}") })
            }
        })
    }

    fn all(&mut self, schemas: &[ValueSchema], path: &[&str]) -> Vec<Map<String, Json>> {
        schemas.iter().map(|schema| self.schema(schema, path)).collect()
    }

    fn map(&mut self, keys: &[SettingDoc], path: &[&str]) -> Json {
        let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let properties: Map<String, Json> = keys.iter().map(|key| (key.name.to_owned(), self.key(key, path))).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn key(&mut self, about: &SettingDoc, path: &[&str]) -> Json {
        let path: Vec<&str> = match about.name {
            "services" | "defaults" if path.is_empty() => Vec::new(),
            name => path.iter().copied().chain([name]).collect(),
        };
        let mut schema = self.schema(&about.schema, &path);
        if schema.contains_key("$ref") {
            // Draft 7 ignores whatever stands beside a reference.
            schema = object(json!({ "allOf": [schema] }));
        }
        schema.insert("description".to_owned(), json!(about.text));
        if let Some(default) = self.defaults.of(&path) {
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

/// No range: `90m` and `1h30m` are the same, which a pattern cannot know. But no time at all is
/// never in one.
fn duration() -> Json {
    let units: String = duration::UNITS.iter().map(|(unit, _)| format!("([0-9]+{unit})?")).collect();
    let told = "expected a duration such as 500ms, 30s or 1h30m";
    json!({
        "type": "string",
        "allOf": [pattern(&format!("^{units}$"), told), pattern("[1-9]", told)],
    })
}

fn size() -> Json {
    let units: Vec<&str> = size::UNITS.iter().map(|(unit, _)| *unit).collect();
    string(&format!("^[0-9]+({})?$", units.join("|")), "expected a size such as 64KiB or 1MiB")
}

fn statuses(least: u16, may_be_empty: bool) -> Json {
    let range = least..=*statuses::ANY.end();
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

fn string(pattern: &str, told: &str) -> Json {
    json!({ "type": "string", "pattern": pattern, "patternErrorMessage": told })
}

/// `told` is what an editor shows that knows `patternErrorMessage`; the others show the pattern.
fn pattern(pattern: &str, told: &str) -> Json {
    json!({ "pattern": pattern, "patternErrorMessage": told })
}

#[cfg(test)]
mod tests;
