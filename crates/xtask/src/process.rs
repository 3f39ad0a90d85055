//! Running other programs, with their output shown or captured.

use std::env::{self, consts::EXE_SUFFIX};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Prints the current operation, and its usual duration if it is long.
pub(crate) fn announce(operation: &str) {
    println!("xtask: {operation}");
}

/// Runs a command with its output shown. Anything but success is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}` failed ({status})", display(command)))) }
}

/// Runs a command with its output shown and returns its exit code; `None` if a signal ended it.
pub(crate) fn exit_code(command: &mut Command) -> Result<Option<i32>, Failure> {
    command.status().map(|status| status.code()).map_err(|error| cannot_start(command, &error))
}

/// Runs a command and returns its output. A failure has the end of its error output.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = errors.trim().lines().collect();
    let end = lines[lines.len().saturating_sub(4)..].join("\n  ");
    Err(Failure::new(format!("`{}` failed ({}):\n  {end}", display(command), output.status)))
}

/// Returns whether a command can be started and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    capture(command).is_ok()
}

/// Returns the path of a program that cargo builds into the directory of this one.
pub(crate) fn beside_this_program(name: &str) -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| Failure::new(format!("cannot find xtask: {error}")))?;
    Ok(this.with_file_name(format!("{name}{EXE_SUFFIX}")))
}

/// Returns a command as it is typed in a shell.
pub(crate) fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot start `{}`: {error}", display(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_displayed_as_typed() {
        assert_eq!(display(Command::new("cargo").args(["fmt", "--all"])), "cargo fmt --all");
    }

    #[test]
    fn missing_program_is_named() {
        let failure = capture(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(failure.to_string().contains("cannot start `no-such-program-here`"), "{failure}");
    }
}
