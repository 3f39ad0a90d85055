//! What becomes of results that nobody can take.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

const COMMANDS: [&[&str]; 8] = [
    &["check", "good.yaml"],
    &["check", "good.yaml", "--format", "json"],
    &["check", "warnings.yaml", "--format", "github"],
    &["simulate", "--services", "good.yaml"],
    &["simulate", "--services", "good.yaml", "--json"],
    &["explain", "chat.example.com", "--services", "good.yaml"],
    &["generate", "wrangler", "good.yaml"],
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
fn a_full_disk_is_a_failure() {
    for arguments in COMMANDS {
        let Output { status, stderr, .. } = run(arguments, File::options().write(true).open("/dev/full").unwrap());
        let said = String::from_utf8(stderr).unwrap();
        assert!(said.starts_with("error: cannot print: ") && said.lines().count() == 1, "{arguments:?}: {said}");
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_gone_is_none() {
    for arguments in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let Output { status, stderr, .. } = run(arguments, writer);
        assert_eq!((status.code(), stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
}
