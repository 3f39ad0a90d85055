//! The reference of a file: every key with its value, default, range and meaning, as Markdown.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::defaults::Defaults;
use crate::duration;
use crate::file;
use crate::size;
use crate::statuses;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

const HEAD: &str = "\
# Configuration reference

<!-- Made from the tables of keys in crates/config: UPDATE=1 cargo test -p tunnel-balancer-config --test schema -->

Every key of `services.yaml`. [`examples/all-settings.yaml`](../examples/all-settings.yaml) shows all of them in one file. Keys that are not
listed here are errors, and so is a key that is written twice or has no value.

An editor that knows JSON Schema (such as VS Code with its YAML extension) completes and checks a file while you type, if it begins with
this line, with the path from that file to [`schema/services.schema.json`](../schema/services.schema.json); `tunnel-balancer schema` prints it:

```yaml
# yaml-language-server: $schema=schema/services.schema.json
```

* **duration**: whole numbers with the units `h`, `m`, `s` and `ms`, the larger unit first, as in `1h30m`, `30s`, `500ms`. A bare number is an error.
* **size**: a whole number with `KiB` or `MiB`, as in `64KiB`; a bare number, or one with `B`, is in bytes.
* **statuses**: one status, a range, or a list of such, as in `200`, `200-299`, `[200, 301-308]`.
* **secret**: a file holds none. `${NAME}` stands for a secret of the Worker (`npx wrangler secret put NAME`), or for an environment variable of
  `tunnel-balancer serve`. Such names have capital letters, digits and `_`.
";

/// The reference of `services.yaml`, in Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, &Defaults::new(), &file::SCHEMA, &[]);
    text
}

/// The keys of the map at `path`, and after them those of the maps in it.
fn section(text: &mut String, defaults: &Defaults, schema: &ValueSchema, path: &[&str]) {
    let keys = keys(schema);
    if keys.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {}\n\n| key | value | default | what it is |\n|---|---|---|---|\n", title(path));
    let below = |name| [path, &[name]].concat();
    for SettingDoc { name, text: about, schema, required } in &keys {
        let path = below(*name);
        let (_, from_service) = path.split_at(1);
        let default = match defaults.of(from_service) {
            _ if *required => "required".to_owned(),
            Some(default) => written(&default),
            None => String::new(),
        };
        let _ = writeln!(text, "| `{name}` | {} | {default} | {} |", value(schema, &path), about.replace('|', "\\|"));
    }
    // Those of `defaults` are those of a service.
    for about in keys.iter().filter(|about| about.name != "defaults") {
        section(text, defaults, &about.schema, &below(about.name));
    }
}

/// The keys of what is, or may be, a map.
fn keys(schema: &ValueSchema) -> Vec<SettingDoc> {
    match schema {
        ValueSchema::Map(keys) => keys(),
        ValueSchema::MapOf { values: inner, .. } | ValueSchema::List(inner, _) | ValueSchema::Shared(_, inner) => {
            keys(inner)
        }
        ValueSchema::OneOf(schemas) => {
            // A service is a map, or in short the list that one of its keys holds.
            let maps: Vec<SettingDoc> =
                schemas.iter().filter(|it| matches!(it, ValueSchema::Map(_))).flat_map(keys).collect();
            if maps.is_empty() { schemas.iter().flat_map(keys).collect() } else { maps }
        }
        _ => Vec::new(),
    }
}

fn title(path: &[&str]) -> String {
    match path {
        [] => "The file".to_owned(),
        ["services"] | ["defaults"] => "A service".to_owned(),
        ["services", "servers"] => "A server".to_owned(),
        [_, keys @ ..] => format!("`{}`", keys.join(".")),
    }
}

/// What may stand at `path`.
fn value(schema: &ValueSchema, path: &[&str]) -> String {
    let count = |least, most| format!("whole number, {least} to {most}");
    match schema {
        ValueSchema::Disabled => "`false`".to_owned(),
        ValueSchema::Boolean => "`true` or `false`".to_owned(),
        ValueSchema::Number(range) => count(range.start(), range.end()),
        ValueSchema::Percent(range) => format!("{} (percent)", count(range.start(), range.end())),
        ValueSchema::Duration(range) => {
            format!(
                "duration, {} to {}",
                duration::format_duration(*range.start()),
                duration::format_duration(*range.end())
            )
        }
        ValueSchema::Size(range) => {
            format!("size, {} to {}", size::format_size(*range.start()), size::format_size(*range.end()))
        }
        ValueSchema::Statuses { least, may_be_empty } => {
            let range = format!("statuses, {least} to {}", statuses::ANY.end());
            if *may_be_empty { range } else { format!("{range}, one at least") }
        }
        ValueSchema::String(StringSchema { what, longest: Some(longest), .. }) => {
            format!("{what}, up to {longest} bytes")
        }
        ValueSchema::String(StringSchema { what, longest: None, .. }) => (*what).to_owned(),
        ValueSchema::Enum(words) => words().into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        ValueSchema::OneOf(schemas) => {
            let mut values: Vec<String> = schemas.iter().map(|schema| value(schema, path)).collect();
            values.dedup();
            values.join(", or ")
        }
        ValueSchema::List(item, most) => {
            format!("a list of 1 to {most}, each {}", value(item, &["services", "servers"]))
        }
        ValueSchema::Map(_) => {
            let title = title(path);
            format!("a map: [{title}](#{})", anchor(&title))
        }
        ValueSchema::MapOf { keys, values, .. } => format!("a map from {} to {}", keys.what, value(values, path)),
        ValueSchema::Shared(_, schema) => value(schema, path),
    }
}

/// As code forges make it from a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn written(default: &Json) -> String {
    match default {
        Json::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
