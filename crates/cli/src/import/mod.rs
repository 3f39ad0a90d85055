//! `tunnel-balancer import`: a services.yaml from the files of other programs.
//!
//! Values that these files do not have are marked by `TODO`. Parts that are skipped are listed in
//! the result and on stderr, with their lines.

mod cloudflared;
mod grouping;
mod host_guesser;
mod rules;
mod script;
mod server_names;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::draft::{Draft, parse_address, render};
use crate::output;

/// Create a services.yaml from cloudflared's config.yml, or from a Worker script with a list of
/// servers.
///
/// The result goes to stdout. It is valid, but not complete: see the TODO comments in it. Skipped
/// parts are listed on stderr, with their lines.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import cloudflared home.yml office.yml --public-host chat.example.com --output new.yaml
  tunnel-balancer import script worker.js --public-host chat.example.com --output new.yaml

Exit codes: 0 imported; 1 nothing to import, or the output exists; 2 errors in a file or the command.")]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Cloudflared(cloudflared::FromCloudflared),
    Script(script::FromScript),
}

/// Options of all imports.
#[derive(Args, Debug)]
struct Target {
    /// The public hostname of a service. Can be repeated.
    #[arg(long, value_name = "HOST", value_parser = parse_address)]
    public_host: Vec<String>,

    /// Write the result into this new file. An existing file is never replaced.
    #[arg(long, value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// The result of an import.
struct ImportResult {
    draft: Draft,
    /// Skipped parts and decisions to review, each with its place.
    notes: Vec<String>,
}

impl Import {
    pub(crate) fn run(self) -> ExitCode {
        let (imported, target) = match self.from {
            From::Cloudflared(from) => (from.import(), from.target),
            From::Script(from) => (from.import(), from.target),
        };
        match imported {
            Ok(imported) => finish(imported, &target),
            Err(message) => {
                eprintln!("{message}");
                ExitCode::from(2)
            }
        }
    }
}

fn finish(imported: ImportResult, target: &Target) -> ExitCode {
    let ImportResult { mut draft, notes } = imported;
    notes.iter().for_each(|note| eprintln!("{note}"));
    if draft.services.is_empty() {
        eprintln!("error: nothing to import");
        return ExitCode::FAILURE;
    }
    if !notes.is_empty() {
        draft.comments.push(String::new());
        draft.comments.push("TODO:".to_owned());
        draft.comments.extend(notes.iter().map(|note| format!("  {note}")));
    }
    // Each part is valid by itself. Together they can still exceed a limit, such as that of
    // servers.
    let errors = draft.errors();
    if !errors.is_empty() {
        errors.iter().for_each(|error| eprintln!("{}", render(error)));
        eprintln!("error: the result is not a valid services.yaml");
        return ExitCode::FAILURE;
    }
    match &target.output {
        None => output::print(&draft.text()),
        Some(path) => match output::write(path, &draft.text(), false) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
