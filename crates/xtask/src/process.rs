//! Running other programs: with their output shown, because most of them take longer than two
//! seconds and a silent terminal looks like a hang; or captured, where the output is the answer.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Says what is being done now, and how long it usually takes where that is worth knowing.
pub(crate) fn announce(what: &str) {
    println!("xtask: {what}");
}

/// Runs a command with its output shown; anything but success is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}` failed ({status})", shown(command)))) }
}

/// Runs a command with its output shown and returns its exit code; `None` if a signal ended it.
pub(crate) fn exit_code(command: &mut Command) -> Result<Option<i32>, Failure> {
    command.status().map(|status| status.code()).map_err(|error| cannot_start(command, &error))
}

/// Runs a command and returns what it printed; anything but success is a failure with the end of
/// its error output.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint.trim().lines().collect();
    let end = lines[lines.len().saturating_sub(4)..].join("\n  ");
    Err(Failure::new(format!("`{}` failed ({}):\n  {end}", shown(command), output.status)))
}

/// Whether a command can be started and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The full path of a program on the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// A command as a user would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot start `{}`: {error}", shown(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        assert_eq!(shown(Command::new("cargo").args(["fmt", "--all"])), "cargo fmt --all");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let failure = capture(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(failure.to_string().contains("cannot start `no-such-program-here`"), "{failure}");
    }
}
