//! The cost of a selection, beside pingora and tower. `crates/bench` measures it.

use std::process::Command;

use crate::failure::Failure;
use crate::process::{announce, run, succeeds};
use crate::workspace::Workspace;

/// Checks that a selection does not allocate, measures, and prints the table.
pub(crate) fn bench(workspace: &Workspace) -> Result<(), Failure> {
    if !succeeds(Command::new("cmake").arg("--version")) {
        return Err(Failure::new("cmake is not installed, and pingora needs it")
            .hint("install it (on Debian: `apt-get install cmake`)"));
    }
    announce("compiling crates/bench (about four minutes the first time)");
    // All in the profile of the benchmark, so that pingora is compiled once.
    for arguments in [["test", "--quiet", "--profile", "bench"].as_slice(), &["run", "--quiet", "--profile", "bench"]] {
        let mut cargo = workspace.cargo(arguments);
        cargo.current_dir(workspace.root().join("crates/bench"));
        run(cargo.env("CARGO_TARGET_DIR", workspace.root().join("target/bench")))?;
    }
    Ok(())
}
