//! `tunnel-balancer import`: a services.yaml to begin with, from what is there already.
//!
//! What another program's file does not say is left open in a way that cannot be overlooked, and
//! what was not understood is said twice: in the file, and on stderr with its line.

mod cloudflared;
mod host_guesser;
mod javascript;
mod script;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::draft::{Draft, DraftServer, address_error, render};
use crate::output;

/// Begin a services.yaml from cloudflared's config.yml, or from the script that this program
/// replaces.
///
/// The result goes to stdout. It is a file without mistakes, but not finished: read its comments.
/// What was not understood is told on stderr, with its line.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import cloudflared home.yml office.yml --public-host chat.example.com > services.yaml
  tunnel-balancer import script worker.js --public-host chat.example.com --output services.yaml

Exit codes: 0 written; 1 there is nothing to import, or the output is there already; 2 mistakes in a file or the command.")]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Cloudflared(cloudflared::FromCloudflared),
    Script(script::FromScript),
}

/// Where the result goes, and what no file says.
#[derive(Args, Debug)]
struct Target {
    /// The public hostname of a service. May be given more than once.
    #[arg(long, value_name = "HOST", value_parser = public)]
    public_host: Vec<String>,

    /// Write into this file, which must not be there yet.
    #[arg(long, value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// What came of an import.
struct Imported {
    draft: Draft,
    notes: Vec<Note>,
}

/// Something that was not understood, or was decided for want of knowing better.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    /// File and line, or the option that it is about.
    place: String,
    message: String,
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

fn finish(imported: Imported, target: &Target) -> ExitCode {
    let Imported { mut draft, notes } = imported;
    notes.iter().for_each(|note| eprintln!("{}", note.told()));
    if draft.services.is_empty() {
        eprintln!("error: there is nothing to import");
        return ExitCode::FAILURE;
    }
    if !notes.is_empty() {
        draft.comments.push(String::new());
        draft.comments.push("Left to you:".to_owned());
        draft.comments.extend(notes.iter().map(|note| format!("  {}", note.told())));
    }
    // Each part was looked at; together they may still be too much, such as more servers than a
    // service can have.
    let mistakes = draft.errors();
    if !mistakes.is_empty() {
        mistakes.iter().for_each(|mistake| eprintln!("{}", render(mistake)));
        eprintln!("error: this cannot be written as a services.yaml");
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

impl Note {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }

    fn told(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }
}

fn public(text: &str) -> Result<String, String> {
    match address_error(text) {
        None => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        Some(mistake) => Err(render(&mistake)),
    }
}

/// A placeholder for the public host of the `index`th service (from 0), and what to say of it.
fn placeholder(index: usize) -> (String, String) {
    let host = format!("change-me-{}.invalid", index + 1);
    (
        host,
        "CHANGE THIS: the public hostname, which no server may have (or import again with `--public-host HOST`)."
            .to_owned(),
    )
}

/// A server at this address, with nothing said about it.
fn server(url: impl Into<String>) -> DraftServer {
    DraftServer { url: url.into(), ..DraftServer::default() }
}
