//! What the constants of a script say about health checks.

use super::Note;
use super::constants::{Constants, Value, setting};
use crate::draft::{Draft, message};

/// Writes into `draft` what is known, and into `notes` what is not.
pub(super) fn settings(constants: &Constants, file: &str, draft: &mut Draft, notes: &mut Vec<Note>) {
    let mut found: Vec<(&str, String, usize)> = Vec::new();
    let mut is_path_told = false;
    let mut note = |line: usize, message: String| notes.push(Note::new(format!("{file}:{line}"), message));
    // What is computed comes last: often it is made from what is written out.
    let (written, computed): (Vec<_>, Vec<_>) =
        constants.iter().partition(|(_, constant)| constant.value != Value::Unknown);
    for (name, constant) in written.into_iter().chain(computed) {
        let Some((key, value)) = setting(name, &constant.value) else { continue };
        let is_known = found.iter().any(|(other, ..)| *other == key);
        let is_local = name.contains(char::is_lowercase);
        match value {
            Err(_) if constant.value == Value::Unknown && is_known && is_local => {}
            Err(why) => {
                note(constant.line, format!("`{name}` is left out: {why}"));
                is_path_told |= key == "path";
            }
            Ok(_) if is_known => note(constant.line, format!("`{name}` is left out: there is another `{key}`")),
            Ok(value) => {
                if constant.is_default {
                    note(constant.line, format!("`{key}: {value}` is only the default of `{name}`"));
                }
                if key == "path" && matches!(&constant.value, Value::Text(text) if !text.starts_with('/')) {
                    note(constant.line, format!("`{name}` begins with no `/`, so it is taken for `{value}`"));
                }
                found.push((key, value, constant.line));
            }
        }
    }
    found.sort_by_key(|(key, ..)| ["path", "interval", "timeout"].iter().position(|known| known == key));
    let mut entries: Vec<String> = Vec::new();
    for (key, value, line) in found {
        entries.push(format!("{key}: {value}"));
        draft.defaults = vec![format!("health_check: {{ {} }}", entries.join(", "))];
        if let Some(mistake) = draft.mistakes().first() {
            entries.pop();
            note(line, format!("`{key}: {value}` is left out: {}", message(mistake)));
            is_path_told |= key == "path";
        }
    }
    draft.defaults = entries
        .is_empty()
        .then(Vec::new)
        .unwrap_or_else(|| vec![format!("health_check: {{ {} }}", entries.join(", "))]);
    if !entries.iter().any(|entry| entry.starts_with("path:")) {
        let which = if is_path_told { "that could be taken over" } else { "for health checks" };
        draft.comments.push(format!("No path {which} was found: until one is set, `/` is asked for."));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tunnel_balancer_config::parse;

    use super::*;
    use crate::import::{Imported, script::import};

    #[test]
    fn health_checks_are_taken_over() {
        let check = |constants: &str, expected: &str, expected_notes: &[&str]| {
            let script = format!("{constants}\nconst SERVERS = ['a.example.com']");
            let Imported { draft, notes } = import(&script, Path::new("worker.js"), &[]).unwrap();
            let notes: Vec<String> = notes.iter().map(Note::told).collect();
            let check = parse(&draft.text()).unwrap().services.remove(0).health_check.unwrap();
            assert_eq!(format!("{} {:?} {:?}", check.path, check.interval, check.timeout), expected, "{constants}");
            assert_eq!(notes, expected_notes, "{constants}");
        };
        check(
            "const HEALTH_PATH = '/healthz';\nconst CHECK_INTERVAL = 60 * 1000;\nconst TIMEOUT = 4000",
            "/healthz 60s 4s",
            &[],
        );
        check(
            "const config = { healthCheckUrl: '/up', intervalSeconds: 45, probeTimeoutMs: 1_500 }",
            "/up 45s 1.5s",
            &[],
        );
        check(
            "const CHECK_INTERVAL = 30;",
            "/ 30s 5s",
            &["worker.js:1: `CHECK_INTERVAL` is left out: its unit is not known"],
        );
        check(
            "const HEALTH_TIMEOUT = 20000;\nconst FETCH_TIMEOUT = 10000;",
            "/ 30s 5s",
            &[
                "worker.js:2: `FETCH_TIMEOUT` is left out: it may not be the timeout of health checks; for requests there is `retry: { per_try_timeout: ... }`",
                "worker.js:1: `timeout: 20s` is left out: `timeout` (20s) is longer than `unhealthy_interval` (10s)",
            ],
        );
        check(
            "const HEALTH_PATH = '/a b';",
            "/ 30s 5s",
            &["worker.js:1: `path: \"/a b\"` is left out: expected a path of visible ASCII characters, found \"/a b\""],
        );
        check(
            "const INTERVAL = 1000 * n",
            "/ 30s 5s",
            &["worker.js:1: `INTERVAL` is left out: its value is not written out"],
        );
        check("const HEALTH_PATH: string = '/up', interval: number | undefined = 60e3;", "/up 60s 5s", &[]);
        check(
            "const HEALTH_CHECK_PATH = 'health'\nconst HEALTH_CHECK_INTERVAL = '45s'",
            "/health 45s 5s",
            &["worker.js:1: `HEALTH_CHECK_PATH` begins with no `/`, so it is taken for `/health`"],
        );
        check(
            "const HEALTH_PATH = env.X ?? '/health';\nconst HEALTH_CHECK_INTERVAL = env.INTERVAL || 45000",
            "/health 45s 5s",
            &[
                "worker.js:2: `interval: 45s` is only the default of `HEALTH_CHECK_INTERVAL`",
                "worker.js:1: `path: /health` is only the default of `HEALTH_PATH`",
            ],
        );
        check(
            "const HEALTH_PATH = BASE + '/up'\nconst INTERVAL = 'often', TIMEOUT = Number(env.TIMEOUT)",
            "/ 30s 5s",
            &[
                "worker.js:1: `HEALTH_PATH` is left out: its value is not written out",
                "worker.js:2: `TIMEOUT` is left out: its value is not written out",
                "worker.js:2: `interval: often` is left out: expected a duration such as \"30s\", found \"often\"",
            ],
        );
        check(
            "const config = { healthCheck: { path: '/up', \"interval\": 45e3, timeout: env.T }, path: '/x' }",
            "/up 45s 5s",
            &["worker.js:1: `healthCheck.timeout` is left out: its value is not written out"],
        );
        // What is made from a constant, timers and types are no settings of their own.
        check(
            "interface Env { HEALTH_PATH: string; TIMEOUT?: number }\nconst HEALTH_PATH = '/up', TIMEOUT = 4000\nconst checkUrl = server + HEALTH_PATH, checkTimeout = setTimeout(() => stop(), TIMEOUT), o = { timeout: TIMEOUT }",
            "/up 30s 4s",
            &[],
        );
    }

    #[test]
    fn a_path_that_was_not_taken_over_is_not_said_to_be_missing() {
        for (constant, comment) in [
            ("", "No path for health checks was found: until one is set, `/` is asked for."),
            (
                "HEALTH_PATH = BASE + '/up'",
                "No path that could be taken over was found: until one is set, `/` is asked for.",
            ),
            ("HEALTH_PATH = '/a b'", "No path that could be taken over was found: until one is set, `/` is asked for."),
        ] {
            let script = format!("SERVERS = ['a.example.com']\n{constant}");
            let comments = import(&script, Path::new("worker.js"), &[]).unwrap().draft.comments;
            assert_eq!(comments.get(1).map(String::as_str), Some(comment));
        }
    }
}
