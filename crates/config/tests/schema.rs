//! The schema, the reference and the example with all settings are current. All examples name the
//! schema, and it rejects most invalid files.

mod validator;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tunnel_balancer_config::{all_settings, as_json, parse, reference, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_committed_schema_reference_and_example_are_current() {
    is_current("schema/services.schema.json", &schema());
    is_current("docs/configuration.md", &reference());
    is_current("examples/all-settings.yaml", &all_settings());
}

#[test]
fn every_example_names_the_schema() {
    let examples = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = examples.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    assert!(files.len() >= 3, "{files:?}");
    files.push(root().join("services.yaml"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let named = text.lines().find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let named = named.unwrap_or_else(|| panic!("{} names no schema", file.display()));
        let schema = file.parent().unwrap().join(named).canonicalize().unwrap();
        assert_eq!(schema, root().join("schema/services.schema.json").canonicalize().unwrap(), "{}", file.display());
    }
}

/// Checks the services of invalid files one by one. Those that the schema accepts are listed.
#[test]
fn most_invalid_services_are_rejected() {
    let mut found = 0;
    let mut passed = String::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("crates/config/tests/invalid")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let topic = file.file_stem().unwrap().to_str().unwrap();
        for case in fs::read_to_string(&file).unwrap().strip_prefix("=== ").unwrap().split("\n=== ") {
            let (title, rest) = case.split_once('\n').unwrap();
            let (yaml, _) = rest.split_once(">>>").unwrap_or((rest, ""));
            // A syntax error needs no schema.
            let Some(file) = as_json(yaml) else { continue };
            for (part, text) in parts(&file) {
                let Err(errors) = parse(&text) else { continue };
                if validator::check(&text).is_err() {
                    found += 1;
                    continue;
                }
                let codes: Vec<&str> = errors.diagnostics().iter().map(|one| one.code.as_str()).collect();
                passed += &format!("{topic} / {title} / {part}: {}\n", codes.join(", "));
            }
        }
    }
    is_current("crates/config/tests/not_in_schema.txt", &passed);
    let passed = passed.lines().count();
    assert!(found > 3 * passed, "{found} found, {passed} not");
}

/// Returns a file for each service, with the address of the service. Without services, returns the
/// file.
fn parts(file: &Value) -> Vec<(String, String)> {
    let services = file.get("services").and_then(Value::as_object).filter(|services| !services.is_empty());
    let Some(services) = services else { return vec![("the file".to_owned(), file.to_string())] };
    let part = |(address, service): (&String, &Value)| {
        let mut part = file.clone();
        part["services"] = json!({ address: service });
        (address.clone(), part.to_string())
    };
    let mut parts: Vec<(String, String)> = services.iter().map(part).collect();
    // Other crates of the workspace may enable `preserve_order`.
    parts.sort();
    parts
}

fn is_current(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&file, text).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let update = "UPDATE=1 cargo test -p tunnel-balancer-config --test schema";
    assert!(committed == text, "{path} is not current: run `{update}` and review the diff");
}
