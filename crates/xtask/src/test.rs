//! Everything CI runs, as named steps. CI and contributors call the same command, so that a red
//! build can be repeated at home by copying one line.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{announce, capture, run, succeeds};
use crate::setup;
use crate::step::Step;
use crate::workspace::Workspace;
use crate::{browser, deny, wasm_imports, words, worker};

/// The part of a step that passed but could not be checked, if any.
pub(crate) type Skipped = Option<&'static str>;

/// Runs steps in order; the first failure ends the run. What could not be checked is repeated at
/// the end, because a line in the middle of the output is overlooked.
pub(crate) fn test(workspace: &Workspace, steps: &[Step]) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut all_skipped = Vec::new();
    for (index, &step) in steps.iter().enumerate() {
        println!("\n=== {} ({}/{}): {}", step.name(), index + 1, steps.len(), step.about());
        let begun = Instant::now();
        // The conformance suite tests the hosts as built, and a stale one would prove nothing.
        let builds_first = step == Step::Conformance && !steps.contains(&Step::Build);
        let outcome = if builds_first { worker::build(workspace, &BuildOptions::default()) } else { Ok(()) };
        let outcome = outcome.and_then(|()| perform(workspace, step));
        let skipped = outcome.map_err(|failure| failed(step, begun.elapsed(), &failure))?;
        all_skipped.extend(skipped);
        println!("=== {}: ok, {}", step.name(), shown(begun.elapsed()));
    }
    println!(
        "\npassed in {}: {}",
        shown(begun.elapsed()),
        steps.iter().map(|step| step.name()).collect::<Vec<_>>().join(" ")
    );
    for skipped in all_skipped {
        println!("NOT CHECKED: {skipped}");
    }
    Ok(())
}

fn failed(step: Step, after: Duration, failure: &Failure) -> Failure {
    eprintln!("\n{failure}");
    Failure::new(format!("step `{}` failed after {}", step.name(), shown(after)))
        .hint(format!("to repeat only this step: cargo xtask test {}", step.name()))
}

fn perform(workspace: &Workspace, step: Step) -> Result<Skipped, Failure> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(workspace.root()).args(arguments);
        command
    };
    match step {
        Step::Fmt => {
            need_component("rustfmt", "fmt")?;
            run(&mut cargo(&["fmt", "--all", "--check"]))
                .map_err(|failure| failure.hint("`cargo fmt --all` formats it"))
        }
        Step::Clippy => {
            need_component("clippy", "clippy")?;
            run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        }
        Step::Build => worker::build(workspace, &BuildOptions::default()),
        Step::Unit => run(&mut cargo(&["test", "--workspace", "--exclude", "tunnel-balancer-tests", "--all-features"])),
        Step::WasmImports => wasm_imports::check(workspace),
        Step::Doc => run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings")),
        Step::Conformance => {
            // Both are found beside the suite, which is another package and builds neither.
            worker::build(workspace, &BuildOptions::panic_on_demand())?;
            run(&mut cargo(&["build", "-p", "tunnel-balancer"]))?;
            run(&mut cargo(&["test", "-p", "tunnel-balancer-tests"]))
        }
        Step::Wrangler => wrangler(workspace),
        Step::Deny => return deny::check(workspace),
        Step::Browser => browser::check(workspace),
        Step::Words => words::check(workspace),
    }
    .map(|()| None)
}

/// All that a deployment does, short of the upload. Calls `cargo xtask build` through
/// wrangler.toml.
fn wrangler(workspace: &Workspace) -> Result<(), Failure> {
    setup::setup(workspace)?;
    let mut wrangler = Command::new(workspace.npm_program("wrangler"));
    wrangler
        .current_dir(workspace.root())
        .args(["deploy", "--dry-run", "--outdir", "target/wrangler"])
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CI", "1");
    run(&mut wrangler)
}

fn need_component(component: &str, subcommand: &str) -> Result<(), Failure> {
    let is_there = || succeeds(Command::new("cargo").args([subcommand, "--version"]));
    if is_there() {
        return Ok(());
    }
    announce(&format!("rustup component add {component}"));
    let added = capture(Command::new("rustup").args(["component", "add", component]));
    if is_there() {
        return Ok(());
    }
    let why = added.err().map(|failure| format!("\n{failure}")).unwrap_or_default();
    Err(Failure::new(format!("`cargo {subcommand}` is not installed{why}"))
        .hint(format!("type: rustup component add {component}")))
}

fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(shown(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(125)), "2 min 05 s");
    }
}
