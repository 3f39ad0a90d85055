//! Invalid files and their diagnostics, compared in full.
//!
//! The cases are in `tests/invalid/*.txt`, one topic per file. A case has a line `=== title`, the
//! YAML, a line `>>>` and the diagnostics. A YAML that starts with `# secrets: NAME=value ...` is
//! read with these secrets, one that starts with `# for: worker` or `# for: serve` for that
//! program, and one that starts with `# scenario` as a scenario. `UPDATE=1 cargo test -p
//! tunnel-balancer-config` rewrites the diagnostics. Review the diff.

use std::fs;
use std::path::{Path, PathBuf};

use tunnel_balancer_config::{
    Code, Diagnostic, Errors, MAX_BYTES, Platform, parse, parse_for, parse_scenario, parse_with,
};

#[test]
fn diagnostics_of_invalid_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = String::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let current = with_diagnostics(&written);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, current).unwrap();
        } else if current != written {
            wrong += &format!("{}\n{}", file.display(), first_difference(&written, &current));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Returns a file of cases with the current diagnostics.
fn with_diagnostics(cases: &str) -> String {
    let mut output = String::new();
    for case in cases.strip_prefix("=== ").unwrap().split("\n=== ") {
        let (title, rest) = case.split_once('\n').unwrap();
        let yaml = input(rest);
        let diagnostics = match read(&yaml) {
            Ok(warnings) if warnings.is_empty() => "accepted".to_owned(),
            Ok(warnings) => {
                let lines = warnings.iter().map(|warning| format!("services.yaml:{warning}"));
                lines.collect::<Vec<_>>().join("\n")
            }
            Err(errors) => errors.in_file("services.yaml").to_string(),
        };
        output += &format!("=== {title}\n{yaml}>>>\n{diagnostics}\n");
    }
    output
}

/// Returns the input of a case: all lines before the mark `>>>`. A new case has no mark yet.
fn input(case: &str) -> String {
    let (yaml, _) = case.split_once(">>>").unwrap_or((case, ""));
    let end = if yaml.is_empty() || yaml.ends_with('\n') { "" } else { "\n" };
    format!("{yaml}{end}")
}

/// Reads a case as its first line says, and returns the warnings.
fn read(yaml: &str) -> Result<Vec<Diagnostic>, Errors> {
    if yaml.starts_with("# scenario\n") {
        return parse_scenario(yaml, None).map(|_| Vec::new());
    }
    for (line, platform) in [("# for: worker\n", Platform::Worker), ("# for: serve\n", Platform::Serve)] {
        if yaml.starts_with(line) {
            return parse_for(yaml, platform).map(|config| config.warnings);
        }
    }
    let Some(known) = yaml.strip_prefix("# secrets:").and_then(|rest| rest.lines().next()) else {
        return parse(yaml).map(|config| config.warnings);
    };
    let known: Vec<(&str, &str)> = known.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect();
    let secret = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, secret)| (*secret).to_owned());
    parse_with(yaml, &secret).map(|config| config.warnings)
}

fn first_difference(written: &str, current: &str) -> String {
    let mut lines = written.lines().zip(current.lines()).enumerate();
    match lines.find(|(_, (written, current))| written != current) {
        Some((index, (written, current))) => {
            format!("line {}\n  written: {written}\n  current: {current}\n", index + 1)
        }
        None => "not the same number of lines\n".to_owned(),
    }
}

#[test]
fn more_servers_than_a_service_can_have() {
    let servers: Vec<String> = (0..65).map(|i| format!("a-{i}.example.com")).collect();
    let errors = parse(&format!("services:\n  a.example.com: [{}]", servers.join(", "))).unwrap_err();
    let expected =
        "services.yaml:2:18: error[invalid-servers]: expected 1 to 64 servers, found 65 at services.\"a.example.com\"";
    assert_eq!(errors.in_file("services.yaml").to_string(), expected);
    // They are not compared with each other, which would take quadratic time.
    let errors = parse(&format!("services:\n  a.example.com: [{}]", "b.example.com, ".repeat(65))).unwrap_err();
    assert_eq!(errors.in_file("services.yaml").to_string(), expected);
}

#[test]
fn cfg_09_the_subrequests_of_a_request_are_limited() {
    let with = |servers: usize, settings: &str| {
        let servers: Vec<String> = (0..servers).map(|i| format!("a-{i}.example.com")).collect();
        parse(&format!("services:\n  a.example.com: {{ {settings} servers: [{}] }}", servers.join(", ")))
    };
    // 3 attempts, a hedge, a probe of each server and another of those that fail.
    assert!(with(43, "").is_ok());
    let errors = with(44, "").unwrap_err();
    let expected = "2:30: error[invalid-servers]: 3 attempts, 1 hedge and 47 probes are 51 subrequests, more than the \
                    limit of 50 per request at services.\"a.example.com\".servers\n  hint: remove servers, or set \
                    `attempts` to a smaller number";
    assert_eq!(errors.to_string(), expected);
    let errors = with(40, "health_check: 1,").unwrap_err();
    assert_eq!(errors.diagnostics().len(), 1, "invalid settings are not counted: {errors}");
    let disabled = "services: { a.example.com: [b.example.com, { url: c.example.com, enabled: false }";
    let many: String = (0..43).map(|i| format!(", a-{i}.example.com")).collect();
    assert!(parse(&format!("{disabled}{many}] }}")).is_err());
    assert!(
        parse(&format!("{disabled}{}] }}", many.replacen("a-7.example.com", "{ url: d, enabled: false }", 1))).is_ok()
    );
    assert!(with(64, "health_check: false,").is_ok());
    assert!(with(44, "retry: { hedge: false },").is_ok());
    assert!(with(45, "retry: { hedge: false },").is_err());
    assert!(with(44, "retry: { liveness_check_after: false },").is_ok(), "without hedges");
    assert!(with(10, "retry: { attempts: 10 },").is_ok());
    assert!(with(30, "retry: { attempts: 10 },").is_err());
    assert!(with(2, "retry: { hold: 60s },").is_ok(), "held attempts are not counted");
}

#[test]
fn renamed_keys_have_the_new_name_as_a_hint() {
    let service = |keys: &str| format!("services: {{ a.example.com: {{ servers: a-1.example.com, {keys} }} }}");
    let server = |key: &str| format!("services: {{ a.example.com: [{{ url: a-1.example.com, {key} }}] }}");
    let scenario = |keys: &str, step: &str| {
        format!(
            "# scenario\nservices: {{ app.example.com: [a.example.com, b.example.com] }}\nduration: 1m\n\
             requests: {{ GET: 1 }}\n{keys}\ntimeline: {{ 1s: {{ a: {step} }} }}"
        )
    };
    let table = [
        (service("served_by: false"), "`served_by` was renamed to `served_by_header`"),
        (server("max_in_flight: 5"), "`max_in_flight` was renamed to `max_requests`"),
        (service("health_check: { expect: 200 }"), "`health_check.expect` was renamed to `expect_status`"),
        (service("retry: { on: 500 }"), "`retry.on` was renamed to `statuses`"),
        (service("retry: { not_on: 503 }"), "`retry.not_on` was renamed to `passthrough_statuses`"),
        (service("retry: { rounds: 2 }"), "`retry.rounds` was removed: use `retry.hold`"),
        (service("retry: { try_timeout: 5s }"), "`retry.try_timeout` was renamed to `per_try_timeout`"),
        (service("retry: { suspect_after: 5s }"), "`retry.suspect_after` was renamed to `liveness_check_after`"),
        (service("retry: { unsafe_methods: true }"), "`retry.unsafe_methods` was renamed to `non_idempotent`"),
        (service("retry: { replay_limit: 0 }"), "`retry.replay_limit` was renamed to `max_buffered_body`"),
        (service("retry: { budget: { per_second: 1 } }"), "`retry.budget.per_second` was renamed to `min_per_second`"),
        (service("ejection: { failures: 5 }"), "`ejection.failures` was renamed to `consecutive_failures`"),
        (service("ejection: { base: 5s }"), "`ejection.base` was renamed to `base_time`"),
        (service("ejection: { max: 5m }"), "`ejection.max` was renamed to `max_time`"),
        (scenario("patience: 5s", "up"), "`patience` was renamed to `client_timeout`"),
        (scenario("", "{ does: 530 }"), "`does` was renamed to `action`"),
        (scenario("", "{ spread: 5ms }"), "`spread` was renamed to `stddev`"),
        (scenario("", "{ cut: true }"), "`cut` was renamed to `reset_connections`"),
        (scenario("", "breaks"), "`breaks` was renamed to `resets`"),
    ];
    for (yaml, hint) in table {
        let errors = read(&yaml).unwrap_err();
        let [diagnostic] = errors.diagnostics() else { panic!("{errors}\n{yaml}") };
        assert_eq!(diagnostic.hint.as_deref(), Some(hint), "{yaml}");
        let code = if yaml.contains("breaks") { Code::InvalidValue } else { Code::UnknownKey };
        assert_eq!(diagnostic.code, code, "{yaml}");
    }
    // Old names of other maps.
    for yaml in [service("spread: 5ms"), service("retry: { served_by: true }")] {
        let errors = read(&yaml).unwrap_err();
        let hint = errors.diagnostics()[0].hint.as_deref().unwrap_or_default();
        assert!(hint.starts_with("expected one of `"), "{yaml}: {hint}");
    }
}

#[test]
fn messages_contain_no_secrets() {
    let wrong = ["hunter2hunter2hunter2", "12345678901234567890123", "1.25", "-7", "\"x${hunter2}\"", "\"${hunter2}\""];
    for key in wrong {
        let yaml = format!(
            "services: {{ a.example.com: {{ servers: b.example.com, affinity: {{ cookie: lb, key: {key} }} }} }}"
        );
        let message = parse(&yaml).unwrap_err().to_string();
        let bare = key.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        assert!(!message.contains(bare) && !message.contains("hunter"), "{message}");
    }
    let yaml = "services: { a.example.com: { servers: b.example.com, affinity: { cookie: lb, key: \"${KEY}\" } } }";
    let message = parse_with(yaml, &|_| Some("hunter2".to_owned())).unwrap_err().to_string();
    assert!(message.contains("`KEY` is shorter") && !message.contains("hunter2"), "{message}");
}

#[test]
fn a_file_that_is_too_large_is_not_parsed() {
    let errors = parse(&"#".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(errors.to_string(), "1:1: error[too-large]: the file is larger than 262144 bytes");
    assert_eq!(errors.diagnostics()[0].code, Code::TooLarge);
    let full = "services: { a.example.com: a-1.example.com } ";
    assert!(parse(&format!("{full}{}", "#".repeat(MAX_BYTES - full.len()))).is_ok());
}

#[test]
fn diagnostics_are_capped_and_counted() {
    let mut yaml = "services:\n  a.example.com:\n    servers: a-1.example.com\n".to_owned();
    (0..80).for_each(|i| yaml += &format!("    lost_{i}: 1\n"));
    let errors = parse(&yaml).unwrap_err();
    assert_eq!((errors.diagnostics().len(), errors.suppressed()), (Errors::MAX_DIAGNOSTICS, 30));
    assert_eq!(errors.diagnostics()[49].line, 53);
    assert!(errors.to_string().ends_with("\nand 30 more"));
}

#[test]
fn diagnostics_are_data() {
    let errors = parse("services: { a.example.com: { servers: [a-1.example.com, { url: 5 }] } }").unwrap_err();
    let [diagnostic] = errors.diagnostics() else { panic!("{errors}") };
    assert_eq!((diagnostic.line, diagnostic.column), (1, 64));
    assert_eq!(diagnostic.path, r#"services."a.example.com".servers[1].url"#);
    assert_eq!(diagnostic.message, "expected a hostname or URL, found the number 5");
    assert_eq!((diagnostic.hint.as_deref(), diagnostic.code.as_str()), (None, "wrong-type"));
}
