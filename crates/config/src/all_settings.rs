//! The example with every key at its default, from the tables of settings.

use crate::file;
use crate::value_schema::{SettingDoc, ValueSchema};

const HEAD: &str = "\
# yaml-language-server: $schema=../schema/services.schema.json
# Generated from crates/config by `cargo xtask bless`.
# All keys with their defaults. Durations: `500ms`, `30s`, `1h30m`. Sizes: `64KiB`, `1MiB`, or
# bytes.

";

/// The longest line of a comment, as in all prose of the repository.
const WIDTH: usize = 100;

/// Returns a file with every setting at its default, and with comments.
pub fn all_settings() -> String {
    let mut yaml = HEAD.to_owned();
    keys(&mut yaml, 0, &file::SCHEMA);
    yaml
}

/// Writes the keys of a map with their comments.
fn keys(yaml: &mut String, indentation: usize, schema: &ValueSchema) {
    for (index, doc) in schema.keys().iter().enumerate() {
        let is_paragraph = indentation <= 4 && index > 0;
        *yaml += if is_paragraph { "\n" } else { "" };
        // The map of a server is an item of a list, and `url` is its first key.
        let (start, dash) = if doc.name == "url" { (indentation - 2, "- ") } else { (indentation, "") };
        let start = " ".repeat(start);
        comment(yaml, &start, &text(doc));
        *yaml += &format!("{start}{dash}{}:{}\n", doc.name, value(doc));
        match doc.name {
            "services" | "servers" => keys(yaml, indentation + 4, &doc.schema),
            // The keys are those of a service.
            "defaults" => {}
            _ if doc.default.is_empty() => keys(yaml, indentation + 2, &doc.schema),
            _ => {}
        }
    }
}

/// Returns what follows the colon of a key: its default, or an example.
fn value(doc: &SettingDoc) -> String {
    match (doc.name, doc.default) {
        ("services", _) => "\n  chat.example.com:".to_owned(),
        ("servers", _) => "\n      - chat-a.example.com".to_owned(),
        ("url", _) => " https://chat-b.example.com".to_owned(),
        ("name", _) => " chat-b".to_owned(),
        ("title", _) => " chat".to_owned(),
        ("defaults", _) => " {}".to_owned(),
        (_, "") => String::new(),
        (_, default) => format!(" {default}"),
    }
}

/// Returns the description, with the range at the end of its first sentence.
fn text(doc: &SettingDoc) -> String {
    let Some(range) = doc.schema.range() else { return doc.text.to_owned() };
    let (first, rest) = doc.text.split_once(". ").unwrap_or_else(|| (doc.text.trim_end_matches('.'), ""));
    format!("{first} ({range}). {rest}").trim_end().to_owned()
}

/// Writes the text in lines of up to [`WIDTH`] characters, which do not break code in backticks.
fn comment(yaml: &mut String, start: &str, text: &str) {
    let mut line = format!("{start}#");
    let mut is_code = false;
    let is_gap = |c: char| {
        is_code ^= c == '`';
        c == ' ' && !is_code
    };
    for word in text.split(is_gap) {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            *yaml += &format!("{line}\n");
            line = format!("{start}#");
        }
        line += &format!(" {word}");
    }
    *yaml += &format!("{line}\n");
}
