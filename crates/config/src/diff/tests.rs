use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use tunnel_balancer_state::TargetKind;

use super::*;
use crate::reader::Setting;
use crate::schema::tests::{any_value, edges, leaves, put};
use crate::value_schema::SettingDoc;
use crate::{file, notify, parse, parse_with, server, settings, status};

fn config(yaml: &str) -> Config {
    parse(yaml).unwrap_or_else(|errors| panic!("{yaml}: {errors}"))
}

/// Returns the differences as lines.
fn lines(old: &str, new: &str) -> Vec<String> {
    let diff = ConfigDiff::of(&config(old), &config(new));
    let mut lines: Vec<String> = diff.settings.iter().map(setting).collect();
    for service in diff.services.iter().filter(|service| service.change != Change::Unchanged) {
        let name =
            |name: &str| if diff.services.len() > 1 { format!("{} {name}", service.service) } else { name.into() };
        lines.push(name(service.change.as_str()));
        lines.extend(service.settings.iter().map(setting));
        for server in service.servers.iter().filter(|server| server.change != Change::Unchanged) {
            lines.push(format!("{} {}", server.server, server.change.as_str()));
            lines.extend(server.settings.iter().map(|change| format!("  {}", setting(change))));
        }
        lines.extend(service.order.iter().map(|(old, new)| format!("{} -> {}", old.join(" "), new.join(" "))));
    }
    lines.extend(diff.secrets_added.iter().map(|name| format!("+{name}")));
    lines.extend(diff.secrets_removed.iter().map(|name| format!("-{name}")));
    lines
}

fn setting(change: &SettingChange) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    format!("{}: {} -> {}", change.key, shown(&change.old), shown(&change.new))
}

#[test]
fn services_and_servers_are_compared_by_name() {
    let old = "services: { a.test: [x.example, y.example, z.example], b.test: [x.example], c.test: [x.example] }";
    let new = "services:\n  c.test: [x.example]\n  \
               d.test: { servers: [{ url: x.example, backup: true }, y.example], policy: random }\n  \
               a.test: [z.example, { url: w.example, name: x }, v.example]\n";
    let expected = [
        "d.test added",
        "policy: - -> random",
        "x added",
        "  url: - -> https://x.example",
        "  backup: - -> true",
        "y added",
        "  url: - -> https://y.example",
        "a.test changed",
        "x changed",
        "  url: https://x.example -> https://w.example",
        "v added",
        "  url: - -> https://v.example",
        "y removed",
        "x y z -> z x v",
        "b.test removed",
        "x removed",
    ];
    assert_eq!(lines(old, new), expected);
}

#[test]
fn values_in_effect_are_compared() {
    let short = "{ services: { a.test: [x.example, y.example] } }";
    let long = "{ defaults: { policy: failover, retry: { hold: false } }, \
                services: { a.test: { servers: [\"https://x.example\", { url: y.example, weight: 1 }], title: a } } }";
    assert_eq!(lines(short, long), [] as [&str; 0]);
    let new = "{ defaults: { health_check: { interval: 1m } }, status: { public: true }, \
               services: { a.test: { servers: [x.example, { url: y.example, health_check: /y }], \
               policy: { hash: { header: X-User } }, retry: { statuses: [429, 500-501] } } } }";
    let expected = [
        "status: false -> true",
        "status.public: false -> true",
        "changed",
        "policy: failover -> { hash: { header: X-User } }",
        "health_check.interval: 30s -> 1m",
        "retry.statuses: [] -> [429, 500-501]",
        "y changed",
        "  health_check: true -> { path: /y }",
    ];
    assert_eq!(lines(short, new), expected);
}

#[test]
fn secrets_are_compared_and_never_shown() {
    let old = "
services:
  a.test:
    servers: [{ url: x.example, headers: { X-App: first, X-Id: \"${ID}\" }, health_check: { headers: { X-Probe: a } } }]
    affinity: { cookie: lb, key: \"${OLD_KEY}\" }
    fallback: https://s.example/?first
    error_page: <p>first
notify: { discord: \"${DISCORD}\" }
";
    let new = "
services:
  a.test:
    servers: [{ url: x.example, headers: { X-App: other, X-Id: \"${ID}\" }, health_check: { headers: { X-Probe: b } } }]
    affinity: { cookie: lb, key: \"${NEW_KEY}\" }
    fallback: https://s.example/?other
    error_page: <p>other
notify: { discord: \"https://discord.com/api/webhooks/other\", hostnames: true }
";
    let expected = [
        "notify.discord: { discord: ${DISCORD} } -> { discord: https://discord.com/***, hostnames: true }",
        "changed",
        "affinity.key: ${OLD_KEY} -> ${NEW_KEY}",
        "error_page: (a page of 8 bytes) -> (a page of 8 bytes)",
        "fallback: https://s.example/?***** -> https://s.example/?*****",
        "x changed",
        "  headers.x-app: *** -> ***",
        "  health_check: { headers.x-probe: *** } -> { headers.x-probe: *** }",
        "+NEW_KEY",
        "-DISCORD",
        "-OLD_KEY",
    ];
    assert_eq!(lines(old, new), expected);
    let [one, other] = ["a secret that is 1", "a secret that is 2"]
        .map(|value| parse_with(&new.replace("first", value), &|_| Some(value.to_owned())).unwrap());
    let diff = ConfigDiff::of(&one, &other);
    assert!(!diff.is_empty() && !format!("{diff:?}").contains("a secret"), "{diff:?}");
}

/// Returns the map with a value, or as it is.
fn set(map: &Json, path: &[&str], value: Option<Json>) -> Json {
    value.map_or_else(|| map.clone(), |value| put(map.clone(), path, value))
}

/// Compares files that differ in the value of one setting, for every setting.
#[test]
fn files_that_differ_in_one_setting_have_a_difference() {
    let (mut checked, mut same) = (0, Vec::new());
    let mut each = |keys: &[SettingDoc], file: &dyn Fn(&[&str], Option<Json>) -> Json| {
        for (path, doc) in leaves(keys, &[]) {
            let mut runner = TestRunner::deterministic();
            let strategy = any_value(&doc.schema);
            let mut values: Vec<Option<Json>> =
                (0..6).map(|_| Some(strategy.new_tree(&mut runner).unwrap().current())).collect();
            values.extend(edges(&doc.schema).into_iter().filter(|edge| edge.is_valid).map(|edge| Some(edge.value)));
            // For `strip_prefix` and `affinity`. They are invalid for most other settings.
            let own = [json!("/api"), json!({ "cookie": "lb", "key": "${KEY}" })];
            values.extend([None].into_iter().chain(own.map(Some)));
            let configs: Vec<Config> = values
                .into_iter()
                .filter_map(|value| parse(&file(&path, value).to_string()).ok())
                .map(|config| Config { warnings: Vec::new(), ..config })
                .collect();
            let mut different = 0;
            for (old, new) in configs.iter().flat_map(|old| configs.iter().map(move |new| (old, new))) {
                let diff = ConfigDiff::of(old, new);
                assert_eq!(diff.is_empty(), old == new, "{path:?}: {old:?}\n{new:?}\n{diff:?}");
                different += u32::from(old != new);
            }
            if different == 0 {
                same.push(path.join("."));
            }
            checked += 1;
        }
    };
    each(&Setting::docs(settings::KEYS), &|path, value| {
        let service = set(&json!({ "servers": "b.example.net" }), path, value);
        json!({ "services": { "a.example.com/api": service } })
    });
    each(&Setting::docs(server::KEYS), &|path, value| {
        let server = set(&json!({ "url": "c.example.net" }), path, value);
        json!({ "services": { "a.example.com": ["b.example.net", server] } })
    });
    let with = |key: &'static str, empty: Json| {
        move |path: &[&str], value: Option<Json>| {
            let services = json!({ "a.example.com": "b.example.net" });
            json!({ "services": services, key: set(&empty, path, value) })
        }
    };
    each(&status::SCHEMA.keys(), &with("status", json!({})));
    let is_url = |name: &str| TargetKind::NAMES.iter().any(|(kind, _)| *kind == name);
    let has_no_url = |doc: &SettingDoc| doc.name != "services" && !is_url(doc.name);
    let options: Vec<SettingDoc> = notify::SCHEMA.keys().into_iter().filter(has_no_url).collect();
    each(&options, &with("notify", json!({ "json": "https://a.example.net/x" })));
    assert_eq!(same, [] as [&str; 0], "no two valid values were tried");
    assert!(checked > 80, "{checked}");
}

#[test]
fn a_difference_is_empty_if_and_only_if_the_configurations_are_equal() {
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) });
    let valid = std::cell::Cell::new(0);
    let file = any_value(&file::SCHEMA);
    let outcome = runner.run(&(file, any_value(&file::SCHEMA)), |(old, new)| {
        let (Ok(old), Ok(new)) = (parse(&old.to_string()), parse(&new.to_string())) else { return Ok(()) };
        let [old, new] = [old, new].map(|config| Config { warnings: Vec::new(), ..config });
        valid.set(valid.get() + 1);
        prop_assert!(ConfigDiff::of(&old, &old).is_empty());
        prop_assert!(ConfigDiff::of(&new, &new).is_empty());
        prop_assert_eq!(ConfigDiff::of(&old, &new).is_empty(), old == new);
        prop_assert_eq!(ConfigDiff::of(&new, &old).is_empty(), old == new);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(valid.get() > 20, "too few files are valid: {}", valid.get());
}
