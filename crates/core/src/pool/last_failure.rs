//! The last failure of a server: why it is unavailable, or was.

use crate::classify::Outcome;
use crate::log::Reason;
use crate::service::ProbeError;
use crate::time::Timestamp;

/// The last failed attempt, response or probe of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureStatus {
    /// When it happened, on the host's clock.
    pub at: Timestamp,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people. May contain the hostname of the server.
    pub detail: String,
}

/// A failure that this pool observed.
#[derive(Clone, Debug)]
pub(super) struct LastFailure {
    at: Timestamp,
    cause: FailureCause,
    /// The cause as the host knows it.
    description: Option<Box<str>>,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureCause {
    Attempt(Outcome),
    Probe(ProbeError),
}

impl LastFailure {
    /// The longest description that is kept, in characters.
    const MAX_DESCRIPTION: usize = 256;

    pub(super) const fn new(cause: FailureCause, at: Timestamp) -> Self {
        Self { at, cause, description: None }
    }

    /// Adds the cause as the host knows it, such as `certificate expired`.
    pub(super) fn describe(&mut self, description: &str) {
        let description: String = description.chars().take(Self::MAX_DESCRIPTION).collect();
        self.description = Some(description.into());
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn reason(&self) -> Reason {
        match self.cause {
            FailureCause::Attempt(outcome) => outcome.into(),
            FailureCause::Probe(error) => error.into(),
        }
    }

    pub(super) fn detail(&self) -> String {
        match (&self.description, self.cause) {
            (Some(description), _) => description.to_string(),
            (None, FailureCause::Attempt(outcome)) => outcome.to_string(),
            (None, FailureCause::Probe(error)) => error.to_string(),
        }
    }

    /// Returns the description of the failed probe that ended at `ended`.
    pub(super) fn probe_description(&self, ended: Timestamp) -> Option<&str> {
        let is_probe = matches!(self.cause, FailureCause::Probe(_)) && self.at == ended;
        self.description.as_deref().filter(|_| is_probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Failure;

    #[test]
    fn the_description_of_the_host_replaces_the_general_one() {
        let mut failure = LastFailure::new(FailureCause::Attempt(Outcome::Failed(Failure::Connect)), Timestamp::ZERO);
        assert_eq!(failure.detail(), "connection failed");
        failure.describe("certificate expired");
        assert_eq!((failure.reason(), failure.detail().as_str()), (Reason::ConnectFailed, "certificate expired"));
        assert_eq!(failure.probe_description(Timestamp::ZERO), None, "it is no probe");
        failure.describe(&"ä".repeat(300));
        assert_eq!(failure.detail(), "ä".repeat(256));
    }
}
