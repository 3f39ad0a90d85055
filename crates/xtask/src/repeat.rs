//! Tests that run once more, alone, if they fail beside others.
//!
//! The suites on real sockets wait for timeouts. If the machine is busy, a program can miss one,
//! although nothing is wrong with it. A defect fails the second run, too. What passes only in the
//! second run is reported, so that a race is not lost.

use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::process::{display, run};
use crate::workspace::Workspace;

/// More failures than this are not the machine's.
const MAX_REPEATED: usize = 12;

/// Runs `cargo test` with these arguments, and each failed test once more. Returns the names of
/// those that passed in their second run.
///
/// # Errors
/// If a test fails twice, if more than [`MAX_REPEATED`] fail, or if a test program cannot be built
/// or run.
pub(crate) fn test(workspace: &Workspace, arguments: &[&str], filter: &[String]) -> Result<Vec<String>, Failure> {
    let mut command = workspace.cargo(&["test", "--no-fail-fast"]);
    command.args(arguments).arg("--").args(filter);
    let (has_passed, output) = run_and_copy(&mut command)?;
    if has_passed {
        return Ok(Vec::new());
    }
    let failed = failed_tests(&output);
    if failed.is_empty() || failed.len() > MAX_REPEATED {
        return Err(Failure::new(format!("`{}` failed ({} tests)", display(&command), failed.len())));
    }
    for name in &failed {
        println!("\nxtask: repeating {name}, alone");
        run(workspace.cargo(&["test"]).args(arguments).args(["--", "--exact", name]))?;
    }
    Ok(failed)
}

/// Runs a command. Returns whether it succeeded, and its standard output, which is also shown.
fn run_and_copy(command: &mut Command) -> Result<(bool, String), Failure> {
    let failed = |command: &Command, error| Failure::new(format!("cannot run `{}`: {error}", display(command)));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(command, error))?;
    let mut copy = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("the output is piped"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(|error| failed(command, error))? > 0 {
        // What cannot be shown is still read.
        let _ = stdout().write_all(&line);
        copy += &String::from_utf8_lossy(&line);
        line.clear();
    }
    let status = child.wait().map_err(|error| failed(command, error))?;
    Ok((status.success(), copy))
}

/// Returns the names in the lists of failures, which end the output of each test program.
fn failed_tests(output: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut list: Option<Vec<String>> = None;
    for line in output.lines() {
        match (line, &mut list) {
            ("failures:", _) => list = Some(Vec::new()),
            ("", _) => {}
            (line, Some(listed)) if line.starts_with("    ") => listed.push(line.trim().to_owned()),
            (line, Some(listed)) if line.starts_with("test result: FAILED") => {
                names.append(listed);
                list = None;
            }
            _ => list = None,
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_those_of_the_last_list_of_each_program() {
        let output = "\
running 3 tests
test one ... ok

failures:

---- theme::two stdout ----
failures:
    printed by a test

---- three stdout ----
    indented

failures:
    theme::two
    three

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

failures:
    native::four

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(failed_tests(output), ["theme::two", "three", "native::four"]);
    }
}
