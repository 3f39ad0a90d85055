//! The steps of `cargo xtask test`. CI and contributors run the same command.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::{BenchOptions, BuildOptions, NpmOptions};
use crate::failure::Failure;
use crate::process::run;
use crate::setup;
use crate::step::Step;
use crate::workspace::Workspace;
use crate::{
    applications, bench, deny, features, package, packages, platforms, public_api, release, repeat, site, wasm_imports,
    words, worker,
};

/// What a step that passed has to report at the end: a part that could not be checked, or tests
/// that passed only in their second run.
pub(crate) type Notes = Vec<String>;

/// Runs steps in order, up to the first failure. Their notes are printed at the end.
pub(crate) fn test(workspace: &Workspace, steps: &[Step], filter: &[String]) -> Result<(), Failure> {
    let start = Instant::now();
    let mut all_notes = Notes::new();
    for (index, &step) in steps.iter().enumerate() {
        println!("\n=== {} ({}/{}): {}", step.name(), index + 1, steps.len(), step.about());
        let start = Instant::now();
        let notes = perform(workspace, step, filter, steps.contains(&Step::Build));
        all_notes.extend(notes.map_err(|failure| failed(step, start.elapsed(), &failure))?);
        println!("=== {}: ok, {}", step.name(), display(start.elapsed()));
    }
    let names = steps.iter().map(|step| step.name()).collect::<Vec<_>>().join(" ");
    println!("\npassed in {}: {names}", display(start.elapsed()));
    all_notes.iter().for_each(|note| println!("{note}"));
    Ok(())
}

fn failed(step: Step, after: Duration, failure: &Failure) -> Failure {
    eprintln!("\n{failure}");
    Failure::new(format!("step `{}` failed after {}", step.name(), display(after)))
        .hint(format!("to repeat only this step: cargo xtask test {}", step.name()))
}

fn perform(workspace: &Workspace, step: Step, filter: &[String], is_built: bool) -> Result<Notes, Failure> {
    let cargo = |arguments: &[&str]| workspace.cargo(arguments);
    match step {
        Step::Fmt => {
            run(&mut cargo(&["fmt", "--all", "--check"])).map_err(|failure| failure.hint("run `cargo fmt --all`"))
        }
        Step::Clippy => run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        Step::Build => worker::build(workspace, &BuildOptions::default()),
        Step::Unit => {
            let packages = ["--workspace", "--exclude", "tunnel-balancer-tests", "--all-features"];
            return repeated(workspace, &packages, filter);
        }
        Step::WasmImports => wasm_imports::check(workspace),
        Step::Doc => run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings")),
        Step::Features => features::check(workspace),
        Step::PublicApi => public_api::check(workspace),
        Step::Package => package::check(workspace),
        Step::Conformance => {
            // The suite runs the hosts as built, and does not build them itself.
            if !is_built {
                worker::build(workspace, &BuildOptions::default())?;
            }
            worker::build(workspace, &BuildOptions::panic_on_demand())?;
            run(&mut cargo(&["build", "-p", "tunnel-balancer"]))?;
            packages::npm(workspace, &NpmOptions { folders: true, ..NpmOptions::default() })?;
            return repeated(workspace, &["-p", "tunnel-balancer-tests"], filter);
        }
        Step::Bench => {
            if !is_built {
                worker::build(workspace, &BuildOptions::default())?;
            }
            bench::measure(workspace, &BenchOptions::smoke(), true)
        }
        Step::Wrangler => wrangler(workspace),
        Step::Deny => return deny::check(workspace),
        Step::Site => site::build(workspace),
        Step::StatusPage => applications::status_page(workspace, filter),
        Step::Browser => applications::browser(workspace),
        Step::Apps => applications::table(workspace, filter),
        Step::Journey => packages::journey(workspace),
        Step::Static => release::test_rootfs(workspace),
        Step::Platforms => platforms::check(workspace),
        Step::Pingora => {
            let example = workspace.root().join("examples/embed-pingora");
            let target = workspace.root().join("target/pingora");
            run(cargo(&["test"]).current_dir(example).env("CARGO_TARGET_DIR", target))
        }
        Step::Words => words::check(workspace, filter),
    }
    .map(|()| Notes::new())
}

fn repeated(workspace: &Workspace, arguments: &[&str], filter: &[String]) -> Result<Notes, Failure> {
    let names = repeat::test(workspace, arguments, filter)?;
    Ok(names.iter().map(|name| format!("FAILED ONCE, passed alone: {name}")).collect())
}

/// A deployment without the upload. wrangler.toml runs `cargo xtask build`.
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

fn display(duration: Duration) -> String {
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
    fn durations_are_in_seconds_or_minutes() {
        assert_eq!(display(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(display(Duration::from_secs(125)), "2 min 05 s");
    }
}
