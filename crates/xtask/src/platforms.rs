//! Other systems: the programs compile for Windows and macOS.
//!
//! The C code of the cryptography is not compiled, so that no compiler of these systems is needed.

use std::process::Command;

use crate::failure::Failure;
use crate::process::{announce, run};
use crate::workspace::Workspace;

/// One target for each system that the conformance suite does not run on.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// Lints the command line and this program for each target.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    run(Command::new("rustup").args(["target", "add"]).args(TARGETS))?;
    for target in TARGETS {
        announce(&format!("checking {target}, without the C code of dependencies"));
        let mut cargo = workspace.cargo(&["clippy", "--package", "tunnel-balancer", "--package", "xtask"]);
        cargo.args(["--target", target, "--", "-D", "warnings"]);
        // The crate `cc` starts them, and their output is not read without a linker.
        let suffix = target.replace('-', "_");
        cargo.env(format!("CC_{suffix}"), "true").env(format!("AR_{suffix}"), "true");
        // Any value keeps it from starting a program of macOS.
        cargo.env("SDKROOT", "/");
        run(&mut cargo)?;
    }
    Ok(())
}
