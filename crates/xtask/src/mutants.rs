//! Mutation tests of the engine: the share of small faults that the tests detect.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::files;
use crate::process::{display, exit_code};
use crate::tools::Tool;
use crate::workspace::Workspace;

/// The engine: the files whose faults can lose a request.
const FILES: [&str; 4] = [
    "crates/core/src/pool/**/*.rs",
    "crates/core/src/retry/**/*.rs",
    "crates/core/src/exchange/**/*.rs",
    "crates/core/src/forward.rs",
];

/// The packages and tests that cargo builds and runs: all tests of core, the unit tests of sim,
/// scenarios and properties. The conformance suite tests other code, and the fleets take too long.
/// These are arguments of cargo because the baseline of cargo-mutants ignores `--test-package`.
const TESTS: [&str; 14] = [
    "--cargo-arg=--package=tunnel-balancer-sim",
    "--cargo-arg=--package=tunnel-balancer-tests",
    "--cargo-arg=--lib",
    "--cargo-arg=--test=addresses",
    "--cargo-arg=--test=declined",
    "--cargo-arg=--test=drill",
    "--cargo-arg=--test=failed_attempts",
    "--cargo-arg=--test=misuse",
    "--cargo-arg=--test=reload",
    "--cargo-arg=--test=reservation",
    "--cargo-arg=--test=send",
    "--cargo-arg=--test=suspended",
    "--cargo-arg=--test=scenarios",
    "--cargo-arg=--test=properties",
];

/// Exit codes of cargo-mutants after a complete run: all caught, some missed, timeouts.
const COMPLETE: [i32; 3] = [0, 2, 3];

/// Runs cargo-mutants with `options` and prints the score.
pub(crate) fn mutants(workspace: &Workspace, options: &[String]) -> Result<(), Failure> {
    let program = Tool::CARGO_MUTANTS.provide(&Cache::from_env()?)?;
    let output = workspace.root().join("target/mutants");
    files::create(&output)?;
    let mut command = Command::new(program);
    command.current_dir(workspace.root()).arg("mutants").args(arguments(options)).arg("--output").arg(&output);
    // It has a build directory of its own, and the properties take most of the time.
    command
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    let code = exit_code(&mut command)?;
    if !code.is_some_and(|code| COMPLETE.contains(&code)) {
        return Err(Failure::new(format!("`{}` failed", display(&command))));
    }
    if !options.iter().any(|option| matches!(option.as_str(), "--list" | "--list-files" | "--help" | "--version")) {
        println!("\n{}", score(&outcomes(&output.join("mutants.out/outcomes.json"))?));
    }
    Ok(())
}

/// Returns the arguments before the output directory.
fn arguments(options: &[String]) -> Vec<String> {
    let names_files =
        options.iter().any(|option| option == "--file" || option.starts_with("--file=") || option.starts_with("-f"));
    let files = FILES.iter().filter(|_| !names_files).flat_map(|file| ["--file", file]);
    let core = ["--package", "tunnel-balancer-core"];
    core.into_iter().chain(TESTS).chain(files).map(str::to_owned).chain(options.iter().cloned()).collect()
}

fn outcomes(path: &Path) -> Result<Value, Failure> {
    let json = fs::read(path).map_err(|error| Failure::io("cannot read", path, &error))?;
    serde_json::from_slice(&json).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Returns the share of caught mutants. Timeouts and mutants that do not compile do not count.
fn score(outcomes: &Value) -> String {
    let count = |kind: &str| outcomes[kind].as_u64().unwrap_or_default();
    let (caught, decided) = (count("caught"), count("caught") + count("missed"));
    let score = match decided {
        0 => "score: none, no mutant was caught or missed".to_owned(),
        _ => format!("score: {:.1} % ({caught} of {decided} caught)", caught as f64 * 100.0 / decided as f64),
    };
    format!("{score}; timeouts: {}, unviable: {}", count("timeout"), count("unviable"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn files_are_the_engine_unless_named() {
        assert!(arguments(&[]).contains(&FILES[0].to_owned()));
        let all = lines(&["--shard", "1/4"]);
        assert!(arguments(&all).contains(&FILES[3].to_owned()));
        for named in [lines(&["--file", "a.rs"]), lines(&["--file=a.rs"]), lines(&["-f", "a.rs"])] {
            let arguments = arguments(&named);
            assert!(arguments.ends_with(&named) && !arguments.contains(&FILES[0].to_owned()), "{arguments:?}");
        }
    }

    #[test]
    fn all_tests_of_core_run() {
        let workspace = Workspace::locate().unwrap();
        let entries = fs::read_dir(workspace.root().join("crates/core/tests")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let mut tests: Vec<_> =
            paths.map(|path| format!("--cargo-arg=--test={}", path.file_stem().unwrap().to_str().unwrap())).collect();
        tests.sort();
        assert_eq!(TESTS[3..12], tests);
    }

    #[test]
    fn score_leaves_out_timeouts_and_unviable_mutants() {
        let outcomes = json!({ "caught": 2, "missed": 1, "timeout": 1, "unviable": 2, "total_mutants": 6 });
        assert_eq!(score(&outcomes), "score: 66.7 % (2 of 3 caught); timeouts: 1, unviable: 2");
        assert!(score(&json!({})).starts_with("score: none"));
    }
}
