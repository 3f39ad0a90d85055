//! The tasks of this repository, as one program that needs nothing but cargo: `cargo xtask`.
//!
//! Building a Worker takes a wasm standard library, two cargo tools of matching versions and three
//! npm tools. Nobody should have to know that list, so every task first makes sure that its tools
//! are there (`setup.rs`), and what CI runs is the same command that a contributor runs
//! (`test.rs`).

#![forbid(unsafe_code)]

mod bench;
mod browser;
mod cache;
mod cli;
mod deny;
mod dev;
mod failure;
mod help;
mod mutants;
mod npm;
mod process;
mod setup;
mod step;
mod test;
mod toolchain;
mod tools;
mod wasm_imports;
mod words;
mod worker;
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
        Invocation::Setup => {
            let tools = setup::setup(&workspace)?;
            println!("{tools}");
            Ok(())
        }
        Invocation::Build(options) => worker::build(&workspace, &options),
        Invocation::Dev { port } => dev::dev(&workspace, port),
        Invocation::Test(selection) => test::test(&workspace, &selection),
        Invocation::Bench => bench::bench(&workspace),
        Invocation::Mutants(options) => mutants::mutants(&workspace, &options),
    }
}
