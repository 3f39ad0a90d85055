//! The tasks of this repository, as one program that needs only cargo: `cargo xtask`.
//!
//! Every task first provides its tools (`setup.rs`). CI runs the same command as a contributor
//! (`test.rs`).

#![forbid(unsafe_code)]

mod applications;
mod bench;
mod bless;
mod cache;
mod cli;
mod deny;
mod dev;
mod failure;
mod features;
mod files;
mod help;
mod libraries;
mod mutants;
mod npm;
mod package;
mod packages;
mod platforms;
mod process;
mod public_api;
mod release;
mod repeat;
mod setup;
mod site;
mod step;
mod test;
mod toolchain;
mod tools;
mod version;
mod wasm_imports;
mod words;
mod worker;
#[cfg(test)]
mod workflows;
mod workspace;

use std::process::ExitCode;

use cli::Invocation;
use failure::Failure;
use workspace::Workspace;

fn main() -> ExitCode {
    match cli::parse(std::env::args().skip(1)).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            failure.exit_code()
        }
    }
}

fn perform(invocation: Invocation) -> Result<(), Failure> {
    let workspace = Workspace::locate()?;
    match invocation {
        Invocation::Help(topic) => {
            println!("{}", help::text(topic));
            Ok(())
        }
        Invocation::Setup => setup::setup(&workspace).map(|tools| println!("{tools}")),
        Invocation::Build(options) => worker::build(&workspace, &options),
        Invocation::Npm(options) => packages::npm(&workspace, &options),
        Invocation::Dev { port } => dev::dev(&workspace, port),
        Invocation::Test { steps, filter } => test::test(&workspace, &steps, &filter),
        Invocation::Release(options) => release::release(&workspace, &options),
        Invocation::Version { version, is_dry_run } => version::release(&workspace, version, is_dry_run),
        Invocation::Bless => bless::bless(&workspace),
        Invocation::Bench(options) => bench::bench(&workspace, &options),
        Invocation::Mutants(options) => mutants::mutants(&workspace, &options),
    }
}
