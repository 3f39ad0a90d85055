//! The reference of a file in Markdown: the value, range, default and description of every key.

use std::fmt::Write;

use crate::file;
use crate::value_schema::{SettingDoc, StringSchema, ValueSchema};

const HEAD: &str = "\
# Configuration reference

<!-- Generated from crates/config by `cargo xtask bless` -->

All keys of `services.yaml`. [`examples/all-settings.yaml`](../examples/all-settings.yaml) has all
of them in one file. Unknown keys, duplicate keys and keys without a value are errors.

An editor with support for JSON Schema, such as VS Code with its YAML extension, completes and
checks a file that starts with the following line. It has the path from the file to
[`schema/services.schema.json`](../schema/services.schema.json), which `tunnel-balancer schema`
prints:

```yaml
# yaml-language-server: $schema=schema/services.schema.json
```

* **duration**: whole numbers with the units `h`, `m`, `s` and `ms`, the larger unit first: `1h30m`,
  `30s`, `500ms`. A bare number is an error.
* **size**: a whole number with `KiB` or `MiB`: `64KiB`. A bare number is in bytes, as is one with
  `B`.
* **statuses**: a status, a range, or a list of them: `200`, `200-299`, `[200, 301-308]`.
* **secret**: `${NAME}` refers to a secret of the Worker (`npx wrangler secret put NAME`) or an
  environment variable of `tunnel-balancer serve`. Names have capital letters, digits and `_`.
";

/// Returns the reference of `services.yaml`, in Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, &file::SCHEMA, &[]);
    text
}

/// Writes a section for the map at `path`, followed by sections for the maps in it.
fn section(text: &mut String, schema: &ValueSchema, path: &[&str]) {
    let keys = schema.keys();
    if keys.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {}\n\n| key | value | default | description |\n|---|---|---|---|\n", title(path));
    let below = |name| [path, &[name]].concat();
    for SettingDoc { name, default, text: description, schema, required } in &keys {
        let path = below(*name);
        let default = match *default {
            _ if *required => "required".to_owned(),
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let _ =
            writeln!(text, "| `{name}` | {} | {default} | {} |", value(schema, &path), description.replace('|', "\\|"));
    }
    // The keys of `defaults` are those of a service, and the same holds for health checks.
    let is_repeated = |name| name == "defaults" || (name == "health_check" && path.ends_with(&["servers"]));
    for doc in keys.iter().filter(|doc| !is_repeated(doc.name)) {
        section(text, &doc.schema, &below(doc.name));
    }
}

fn title(path: &[&str]) -> String {
    match path {
        [] => "The file".to_owned(),
        ["services"] | ["defaults"] => "A service".to_owned(),
        ["services", "servers"] => "A server".to_owned(),
        ["notify"] => "A target of `notify`".to_owned(),
        ["status"] => "`status`".to_owned(),
        ["services", "servers", "health_check"] => "`health_check`".to_owned(),
        [_, keys @ ..] => format!("`{}`", keys.join(".")),
    }
}

/// Describes the values that are accepted at `path`.
fn value(schema: &ValueSchema, path: &[&str]) -> String {
    let range = schema.range().unwrap_or_default();
    match schema {
        ValueSchema::Disabled => "`false`".to_owned(),
        ValueSchema::Boolean => "`true` or `false`".to_owned(),
        ValueSchema::Number(_) => format!("whole number, {range}"),
        ValueSchema::Percent(_) => format!("whole number, {range} (percent)"),
        ValueSchema::Duration(_) => format!("duration, {range}"),
        ValueSchema::Size(_) => format!("size, {range}"),
        ValueSchema::Statuses { may_be_empty: true, .. } => format!("statuses, {range}"),
        ValueSchema::Statuses { .. } => format!("statuses, {range}, at least one"),
        ValueSchema::String(StringSchema { what, longest: Some(_), .. }) => format!("{what}, {range}"),
        ValueSchema::String(StringSchema { what, longest: None, .. }) => (*what).to_owned(),
        ValueSchema::Enum(words) => words().into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        ValueSchema::OneOf(schemas) => {
            let mut values: Vec<String> = schemas.iter().map(|schema| value(schema, path)).collect();
            values.dedup();
            values.join(", or ")
        }
        ValueSchema::List(item, _) => format!(
            "a list of {range}, each {}",
            value(item, if path == ["notify"] { path } else { &["services", "servers"] })
        ),
        ValueSchema::Map(_) => {
            let title = title(path);
            format!("a map: [{title}](#{})", anchor(&title))
        }
        ValueSchema::MapOf { keys, values, .. } => format!("a map from {} to {}", keys.what, value(values, path)),
        ValueSchema::Shared(_, schema) => value(schema, path),
    }
}

/// Returns the anchor that GitHub generates for a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
