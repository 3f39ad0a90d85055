//! What choosing a server costs, beside pingora and tower: runs `crates/bench` and makes one table
//! of what it prints.
//!
//! Another program on the machine makes a run slower and never faster, for seconds on end. So the
//! benchmark runs many times, shortly, and of the medians of each line the least counts, for
//! everybody alike. What misses a target is named below the table; that is no failure, because the
//! targets are those of a machine that does nothing else.

mod divan;
mod table;

use std::process::Command;

use crate::failure::Failure;
use crate::process::{announce, capture, on_path, run};
use crate::workspace::Workspace;
use divan::Measurements;

const RUNS: usize = 20;

/// Checks that nothing is allocated, measures, and prints the table.
pub(crate) fn bench(workspace: &Workspace) -> Result<(), Failure> {
    if on_path("cmake").is_none() {
        return Err(Failure::new("cmake is not installed, and pingora compiles a C library by it")
            .hint("on Debian, type: apt-get install -y cmake"));
    }
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .current_dir(workspace.root().join("crates/bench"))
            .args(arguments)
            .env("CARGO_TARGET_DIR", workspace.root().join("target/bench"));
        command
    };
    announce("compiling crates/bench (the first time about four minutes)");
    // In the profile of the benchmark, so that pingora is compiled once.
    run(&mut cargo(&["test", "--quiet", "--profile", "bench", "--test", "allocations"]))?;

    announce(&format!("measuring {RUNS} times, 3 s each"));
    let mut least = Measurements::default();
    for _ in 0..RUNS {
        let printed = capture(&mut cargo(&["bench", "--quiet", "--bench", "pick"]))?;
        least.take_least(divan::read(&printed));
    }
    match table::table(&least) {
        Some(table) => println!("\n{table}"),
        None => return Err(Failure::new("nothing was measured: has divan changed how it prints?")),
    }
    Ok(())
}
