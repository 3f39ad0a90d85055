//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::parts::Part;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The parts to run, in their order.
    pub(crate) parts: Vec<Part>,
    /// Whether the run only checks the harness.
    pub(crate) is_smoke: bool,
    /// The number of rounds of each row.
    pub(crate) rounds: usize,
    /// The duration of the part `long`.
    pub(crate) minutes: u64,
    /// Another checkout, whose build of the Worker is measured beside the current one.
    pub(crate) beside: Option<PathBuf>,
    /// The directory of the reports.
    pub(crate) output: PathBuf,
}

impl Options {
    /// Parses the arguments after the name of the program.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut parser = Parser::from_args(arguments);
        let (mut named, mut is_smoke, mut rounds, mut minutes, mut beside) = (Vec::new(), false, None, None, None);
        let mut output = crate::root().join("target/bench");
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("smoke") => is_smoke = true,
                Arg::Long("rounds") => rounds = Some(parser.value()?.parse_with(positive)?),
                Arg::Long("minutes") => minutes = Some(parser.value()?.parse()?),
                Arg::Long("beside") => beside = Some(PathBuf::from(parser.value()?)),
                Arg::Long("output") => output = PathBuf::from(parser.value()?),
                Arg::Value(name) => named.push(name.parse_with(Part::parse)?),
                argument => return Err(argument.unexpected()),
            }
        }
        let is_selected = |part: &Part| if named.is_empty() { part.is_default() } else { named.contains(part) };
        let parts = Part::ALL.into_iter().filter(is_selected).collect();
        let rounds = rounds.unwrap_or(if is_smoke { 2 } else { 9 });
        let minutes = minutes.unwrap_or(if is_smoke { 0 } else { 60 });
        Ok(Self { parts, is_smoke, rounds, minutes, beside, output })
    }

    /// Returns `full`, or a small number in a run that only checks the harness.
    pub(crate) fn count(&self, full: usize) -> usize {
        if self.is_smoke { full.min(20) } else { full }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a positive number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, lexopt::Error> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn parts_run_in_their_order_whatever_the_order_of_their_names() {
        let all = Part::ALL.into_iter().rev().map(Part::name).collect::<Vec<_>>().join(" ");
        assert_eq!(parsed(&all).unwrap().parts, Part::ALL);
        assert_eq!(parsed("worker --rounds 3").unwrap().parts, [Part::Worker]);
    }

    #[test]
    fn errors_name_the_argument() {
        assert!(parsed("--rounds 0").unwrap_err().to_string().contains("expected a positive number"));
        assert!(parsed("wroker").unwrap_err().to_string().contains("unknown part `wroker`, expected one of worker"));
    }
}
