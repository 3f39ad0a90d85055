//! Results that cannot be printed.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

const COMMANDS: [&[&str]; 8] = [
    &["check", "good.yaml"],
    &["check", "good.yaml", "--json"],
    &["check", "warnings.yaml", "--format", "github"],
    &["simulate", "-f", "good.yaml"],
    &["simulate", "-f", "good.yaml", "--json"],
    &["explain", "chat.example.com", "-f", "good.yaml"],
    &["generate", "wrangler", "-f", "good.yaml"],
    &["schema"],
];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd/check.in");
    Command::new(env!("CARGO_BIN_EXE_tunnel-balancer"))
        .args(arguments)
        .current_dir(files)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

#[test]
fn a_full_disk_is_an_error() {
    for arguments in COMMANDS {
        let Output { status, stderr, .. } = run(arguments, File::options().write(true).open("/dev/full").unwrap());
        let error = String::from_utf8(stderr).unwrap();
        assert!(error.starts_with("error: cannot print: ") && error.lines().count() == 1, "{arguments:?}: {error}");
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for arguments in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let Output { status, stderr, .. } = run(arguments, writer);
        assert_eq!((status.code(), stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
}
