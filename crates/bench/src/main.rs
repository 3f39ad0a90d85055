//! Measures the balancer beside its peers. `cargo xtask bench` builds everything and runs it.
//!
//! One run measures all subjects of a row, in turns (A B, B A, A B), so that other programs on the
//! machine disturb all of them alike. A result is the median of the rounds with its range, and a
//! ratio is the median of the ratios of single rounds.

mod goals;
mod load;
mod machine;
mod options;
mod parts;
mod peers;
mod process;
mod report;
mod sheet;
mod stats;

use std::path::Path;
use std::process::ExitCode;

use crate::goals::{Goals, Outcome};
use crate::options::Options;
use crate::report::Report;

/// The error of a part: a message.
type Result<T> = std::result::Result<T, String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the parts and writes the reports. Returns whether no result is beyond its limit.
async fn run() -> Result<bool> {
    let options = Options::parse(std::env::args_os().skip(1)).map_err(|error| error.to_string())?;
    let goals = Goals::read()?;
    let mut report = Report::new(machine::describe(), options.is_smoke);
    for part in &options.parts {
        eprintln!("{}: {}", part.name(), part.about());
        let mut sheet = part.measure(&options).await.map_err(|error| format!("{}: {error}", part.name()))?;
        goals.without_row(&sheet).into_iter().for_each(|note| sheet.note(note));
        println!("{}", report::text(&sheet));
        let verdicts = goals.judge(&sheet);
        verdicts.iter().for_each(|verdict| println!("{verdict}"));
        report.add(sheet, verdicts);
        // After each part, so that an interrupted run has a report.
        report.write(&options.output)?;
    }
    println!("\nwrote {}", options.output.join("report.html").display());
    if options.is_smoke {
        report::check(&options.output, &options.parts)?;
        return Ok(true);
    }
    Ok(report.verdicts().all(|verdict| verdict.outcome != Outcome::BeyondLimit))
}

/// Returns the root of the repository.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}
