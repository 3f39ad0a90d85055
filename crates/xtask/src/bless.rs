//! Accepts the output of the current code as the expected one.

use crate::failure::Failure;
use crate::process::{announce, run};
use crate::public_api;
use crate::workspace::Workspace;

/// The tests with snapshots. The command line prints diagnostics of config, so config comes first.
const TESTS: [&[&str]; 5] = [
    &["-p", "tunnel-balancer-config"],
    &["-p", "tunnel-balancer"],
    &["-p", "tunnel-balancer-tests", "--test", "documents"],
    &["-p", "tunnel-balancer-tests", "--test", "scenarios"],
    &["-p", "tunnel-balancer-tests", "--test", "fleets", "seeds"],
];

/// Runs the tests in the mode that rewrites snapshots.
pub(crate) fn bless(workspace: &Workspace) -> Result<(), Failure> {
    let mut failures = 0;
    for tests in TESTS {
        let mut cargo = workspace.cargo(&["test", "--quiet", "--no-fail-fast"]);
        cargo.args(tests).env("UPDATE", "1").env("TRYCMD", "overwrite").env("UPDATE_EXPECT", "1");
        // The first run may fail although it rewrites the snapshot.
        if run(&mut cargo).is_err() {
            failures += usize::from(run(&mut cargo).is_err());
        }
    }
    public_api::bless(workspace)?;
    if failures > 0 {
        return Err(Failure::new("tests fail with rewritten snapshots: see above"));
    }
    run(&mut workspace.git(&["--no-pager", "diff", "--stat"]))?;
    announce("read the changes: `git diff`");
    Ok(())
}
