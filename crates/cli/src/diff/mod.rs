//! `tunnel-balancer diff`: what an edit of a map changes, and what follows from it.

mod consequences;
mod json;
mod markdown;
mod report;
mod text;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tunnel_balancer_config::Config;

use crate::program::Program;
use crate::{input, output};
use report::Report;

/// Compare two versions of services.yaml: changed settings, and what follows for traffic.
///
/// Values in effect are compared, with defaults filled in, so comments, short forms and the order
/// of services make no difference. The output also has the secrets that are needed or no longer
/// used, and the usage of Cloudflare's free plan before and after. Nothing is sent. Secrets and
/// values of headers are shown as asterisks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer diff services.yaml new.yaml
  git show HEAD:services.yaml | tunnel-balancer diff - services.yaml
  tunnel-balancer diff old.yaml services.yaml --for worker --json
  As a comment on a pull request:
  git show origin/main:services.yaml | tunnel-balancer diff - services.yaml --format markdown

Exit codes: 0 no difference; 1 differences; 2 errors in a map or in the command.")]
pub(crate) struct Diff {
    /// The old map; `-` reads standard input.
    old: PathBuf,

    /// The new map; `-` reads standard input.
    new: PathBuf,

    /// Check the maps for the program that will serve them, as `check` does. Cloudflare's limits do
    /// not apply to `serve`.
    #[arg(long = "for", value_name = "PROGRAM")]
    program: Option<Program>,

    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Short for --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Returns the differences of two maps for the Worker as lines for a terminal.
pub(crate) fn text(old: &Config, new: &Config) -> String {
    text::write(&Report::new(old, new, true))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for a terminal.
    Text,
    /// One JSON document.
    Json,
    /// A comment on a pull request.
    Markdown,
}

/// The exit code for errors.
const ERROR: u8 = 2;

impl Diff {
    pub(crate) fn run(self) -> ExitCode {
        if input::is_stdio(&self.old) && input::is_stdio(&self.new) {
            eprintln!("error: only one of the maps can be standard input");
            return ExitCode::from(ERROR);
        }
        match [self.load(&self.old), self.load(&self.new)] {
            [Ok(old), Ok(new)] => self.print(&Report::new(&old, &new, Program::is_on_cloudflare(self.program))),
            errors => {
                errors.iter().filter_map(|read| read.as_ref().err()).for_each(|error| eprintln!("{error}"));
                ExitCode::from(ERROR)
            }
        }
    }

    fn load(&self, path: &Path) -> Result<Config, String> {
        let source = input::yaml(path)?;
        Program::parse(self.program, &source).map_err(|errors| output::rendered(&errors, &input::name(path), &source))
    }

    fn print(&self, report: &Report) -> ExitCode {
        let text = match self.format() {
            Format::Text => text::write(report),
            Format::Json => json::write(report),
            Format::Markdown => markdown::write(report),
        };
        if output::print_escaped(&text) != ExitCode::SUCCESS {
            return ExitCode::from(ERROR);
        }
        if report.diff.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
