//! The error of a task, with a hint for the reader.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// An error message and an optional hint.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    status: u8,
    /// Whether the message has its own layout.
    is_rendered: bool,
}

impl Failure {
    /// A task failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, status: 1, is_rendered: false }
    }

    /// The command line is invalid.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: 2, ..Self::new(message) }
    }

    /// A file has errors, whose rendered diagnostics are printed without any addition.
    pub(crate) fn rendered(diagnostics: String) -> Self {
        Self { is_rendered: true, ..Self::new(diagnostics) }
    }

    /// An operation on a file failed.
    pub(crate) fn io(operation: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("{operation} {}: {error}", path.display()))
    }

    /// Sets the hint, an imperative.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// 2 for an invalid command line, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = if self.is_rendered { "" } else { "error: " };
        write!(f, "{label}{}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_exit_with_2_and_others_with_1() {
        assert_eq!(Failure::usage("no").status, 2);
        assert_eq!(Failure::new("no").status, 1);
    }

    #[test]
    fn hint_follows_the_error() {
        let failure = Failure::new("no Node").hint("install it");
        assert_eq!(failure.to_string(), "error: no Node\nhint: install it");
    }

    #[test]
    fn rendered_diagnostics_are_printed_as_they_are() {
        assert_eq!(Failure::rendered("error[syntax]: x".to_owned()).to_string(), "error[syntax]: x");
    }
}
