//! Measurements beside peers. `crates/bench` measures; this builds what it needs.

use std::process::Command;

use crate::cli::{BenchOptions, BuildOptions};
use crate::failure::Failure;
use crate::process::{announce, run, succeeds};
use crate::worker;
use crate::workspace::Workspace;

/// The parts that measure the built Worker.
const OF_WORKER: [&str; 5] = ["worker", "sharing", "cold-start", "size", "long"];

/// The parts that measure `serve`.
const OF_SERVE: [&str; 5] = ["native", "failover", "services", "reload", "long"];

/// The parts with peers in `crates/bench-peers`.
const OF_PEERS: [&str; 3] = ["native", "failover", "selection"];

/// Builds and measures the named parts, or all.
pub(crate) fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<(), Failure> {
    let is_selected = |part: &str| options.parts.is_empty() || options.parts.iter().any(|name| name == part);
    if OF_WORKER.into_iter().any(is_selected) {
        worker::build(workspace, &BuildOptions::default())?;
    }
    if OF_PEERS.into_iter().any(is_selected) && !options.is_smoke() {
        build_peers(workspace)?;
    }
    measure(workspace, options, OF_SERVE.into_iter().any(is_selected))
}

/// Measures with the Worker as it is built. A smoke run uses debug builds, as tests do.
pub(crate) fn measure(workspace: &Workspace, options: &BenchOptions, needs_serve: bool) -> Result<(), Failure> {
    let profile: &[&str] = if options.is_smoke() { &[] } else { &["--release"] };
    let mut build = workspace.cargo(&["build", "-p", "tunnel-balancer-bench"]);
    run(build.args(profile).args(if needs_serve { &["-p", "tunnel-balancer"][..] } else { &[] }))?;
    let mut cargo = workspace.cargo(&["run", "--quiet", "-p", "tunnel-balancer-bench"]);
    run(cargo.args(profile).arg("--").args(&options.parts).args(&options.options))
}

/// Builds the peers that are large, and checks that a selection does not allocate.
fn build_peers(workspace: &Workspace) -> Result<(), Failure> {
    if !succeeds(Command::new("cmake").arg("--version")) {
        announce("pingora is not built, because it needs cmake (on Debian: `apt-get install cmake`)");
        return Ok(());
    }
    announce("compiling crates/bench-peers (about six minutes the first time)");
    // All in the profile of the benchmark, so that pingora is compiled once.
    for command in ["build", "test"] {
        let mut cargo = workspace.cargo(&[command, "--quiet", "--profile", "bench"]);
        cargo.current_dir(workspace.root().join("crates/bench-peers"));
        run(cargo.env("CARGO_TARGET_DIR", workspace.root().join("target/bench-peers")))?;
    }
    Ok(())
}
