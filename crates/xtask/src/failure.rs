//! Why a task stopped, told so that the reader knows what to do next.

use std::fmt;
use std::process::ExitCode;

/// A failure: what went wrong, and where known what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// The task was right, but could not be done.
    Task,
    /// The command line makes no sense.
    Usage,
}

impl Failure {
    /// A task could not be done.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, kind: Kind::Task }
    }

    /// The command line could not be understood.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, kind: Kind::Usage }
    }

    /// Adds what the reader can do about it; a later hint replaces an earlier one.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An input or output error, with what was being done to which file.
    pub(crate) fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("{doing} {}: {error}", path.display()))
    }

    /// 2 for a wrong command line, as usual on Unix, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status())
    }

    fn status(&self) -> u8 {
        match self.kind {
            Kind::Task => 1,
            Kind::Usage => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_end_with_2_and_others_with_1() {
        assert_eq!(Failure::usage("no").status(), 2);
        assert_eq!(Failure::new("no").status(), 1);
    }

    #[test]
    fn hint_follows_the_error() {
        let failure = Failure::new("no Node").hint("install it");
        assert_eq!(failure.to_string(), "error: no Node\nhint: install it");
    }
}
