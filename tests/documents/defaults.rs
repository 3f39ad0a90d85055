//! The defaults in comments and in the README are those of the engine.

use std::collections::BTreeMap;
use std::fmt::Debug;

use tunnel_balancer_core::{Affinity, BudgetSettings, EjectionSettings, HealthCheck, RetrySettings, Server};

use crate::sources::{read, rust_files};

/// Every "Default X." in the doc comment of a field of a settings struct.
#[test]
fn comments_state_the_defaults_of_settings() {
    let settings = BTreeMap::from([
        ("Affinity", debug(Affinity::new("lb", "key"))),
        ("BudgetSettings", debug(BudgetSettings::default())),
        ("EjectionSettings", debug(EjectionSettings::default())),
        ("HealthCheck", debug(HealthCheck::default())),
        ("RetrySettings", debug(RetrySettings::default())),
        ("Server", debug(Server::new("a.example".parse().unwrap()))),
    ]);
    let files = rust_files("crates/core/src/service").into_iter().chain(["crates/core/src/server.rs".to_owned()]);
    let mut count = 0;
    for file in files {
        let (mut settings_name, mut comment) = (String::new(), String::new());
        for line in read(&file).lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                comment += text;
                continue;
            }
            if let Some(name) = line.strip_prefix("pub struct ") {
                settings_name = name.trim_end_matches(" {").to_owned();
            }
            let field = line.strip_prefix("pub ").and_then(|field| field.split_once(": ")).map(|(name, _)| name);
            if let (Some(field), Some(stated)) = (field, stated(&comment)) {
                let value = settings.get(settings_name.as_str()).and_then(|settings| value(settings, field));
                assert_eq!(Some(stated), value, "{file}: {settings_name}::{field}");
                count += 1;
            }
            comment.clear();
        }
    }
    assert!(count > 25, "only {count} defaults were found");
}

fn debug(settings: impl Debug) -> String {
    format!("{settings:?}")
}

/// Returns the default of a doc comment, as `Debug` writes it.
fn stated(comment: &str) -> Option<String> {
    let (_, stated) = comment.split_once(" Default ")?;
    let stated = stated.split(['.', ',', ':']).next()?;
    Some(match stated {
        "none" | "unlimited" => "None".to_owned(),
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        _ => match stated.split_once(' ') {
            Some((number, "s")) => format!("{number}s"),
            Some((number, "h")) => format!("{}s", number.parse::<u64>().unwrap() * 3600),
            Some((number, "KiB")) => (number.parse::<u64>().unwrap() * 1024).to_string(),
            None if stated.contains('-') => format!("StatusRanges([({})])", stated.replace('-', ", ")),
            _ => stated.replace('`', "\""),
        },
    })
}

/// Returns the value of a field in the `Debug` text of a struct, without `Some`.
fn value(settings: &str, field: &str) -> Option<String> {
    let (_, rest) = settings.split_once(&format!(" {field}: "))?;
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        (c == ',' && depth == 0) || depth < 0
    })?;
    let value = rest[..end].trim();
    Some(value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value).to_owned())
}
