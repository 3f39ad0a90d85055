//! The defaults in comments and in the README are those of the engine.

use std::collections::BTreeMap;
use std::fmt::Debug;

use http::StatusCode;
use tunnel_balancer_core::{
    Affinity, BudgetSettings, Delivery, EjectionSettings, HealthCheck, Outcome, Policy, RetrySettings, Server,
};

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
    let mut count = 0;
    for file in rust_files("crates/core/src/service") {
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

#[test]
fn the_readme_states_the_defaults() {
    let readme: String = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let (retry, ejection, check) = (RetrySettings::default(), EjectionSettings::default(), HealthCheck::default());
    let numerals = ["no", "one", "two", "three", "four", "five", "six"];
    let numeral = |number: u32| numerals[number as usize];
    let hung_after = retry.liveness_check_after.unwrap() + check.timeout;
    let (consecutive, window) = (ejection.consecutive_failures, ejection.window_failures.unwrap());
    for statement in [
        format!("({} s, doubling)", ejection.base_time.as_secs()),
        format!("after {} in a row, or {} of the last 20 responses", numeral(consecutive), numeral(window)),
        format!("nothing for {} s, and the probe fails", hung_after.as_secs()),
        format!("`timeout` ({} s)", retry.timeout.as_secs()),
        format!("body up to {} KiB is buffered", retry.max_buffered_body / 1024),
        format!("very {} s", check.interval.as_secs()),
        format!("{} s while a server is in doubt", check.unhealthy_interval.as_secs()),
    ] {
        assert!(readme.contains(&statement), "README.md does not state {statement:?}");
    }
    assert!(readme.contains("| `policy: failover` | the first available server of the list (default) |"));
    assert_eq!(Policy::default(), Policy::Failover);
    assert!(readme.contains("off by default") && retry.hold.is_none());
}

#[test]
fn the_readme_lists_the_statuses_that_are_retried() {
    let readme = read("README.md");
    for (delivery, rest) in [(Delivery::Never, ": the tunnel is down"), (Delivery::Unknown, ", or the connection")] {
        let row = readme.lines().find_map(|line| line.strip_prefix("| ")?.split_once(rest)).unwrap_or_default().0;
        let mut listed: Vec<u16> = row.split(", ").filter_map(|status| status.parse().ok()).collect();
        listed.sort_unstable();
        let outcome = |code: u16| Outcome::Status(StatusCode::from_u16(code).unwrap());
        let expected: Vec<u16> = (100..1000).filter(|code| outcome(*code).classify().delivery == delivery).collect();
        assert_eq!(listed, expected, "the row {rest:?}");
    }
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
