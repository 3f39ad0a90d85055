//! The observations that change the state of a server.

use super::KnowledgeSource;
use super::facts::{EjectionFact, FailbackFact, HealthFact};
use crate::attempt::{AttemptInfo, AttemptResult};
use crate::classify::HealthImpact;
use crate::pool::ejection::Cause;
use crate::pool::probe_schedule::Lease;
use crate::service::ProbeError;
use crate::time::Timestamp;

/// Something that was observed about a server.
#[derive(Debug)]
pub(in crate::pool) enum Signal<'a> {
    AttemptStarted(AttemptInfo),
    AttemptFinished(AttemptInfo, AttemptResult, HealthImpact),
    /// The client disconnected, or another attempt of the request `was_faster`.
    AttemptCanceled {
        info: AttemptInfo,
        was_faster: bool,
    },
    /// A request that was sent at this time has waited for longer than usual.
    Overdue(Timestamp),
    /// A request and a probe, or many requests, got no response.
    Hung(Cause),
    /// A response ended before its body did.
    ResponseAborted,
    ProbeFinished(&'a Lease, Result<(), ProbeError>),
    /// This machine could not send a probe.
    ProbeSkipped,
    /// Time passed: what ends by time is settled.
    Elapsed,
    /// The cause of the failure that was observed at this moment, as the host knows it.
    FailureDescribed(&'a str),
    /// The state is read: a change by time alone is dated.
    Inspected,
    /// An operator lets traffic return.
    FailbackReleased,
    /// Another pool observed this.
    HealthMerged(HealthFact),
    EjectionMerged(EjectionFact),
    FailbackMerged(FailbackFact),
}

impl Signal<'_> {
    /// Returns where the signal came from and when it was observed, if it shows how the server is.
    pub(super) const fn source(&self, now: Timestamp) -> Option<(KnowledgeSource, Timestamp)> {
        match self {
            Self::AttemptFinished(..) | Self::ResponseAborted | Self::Hung(_) => Some((KnowledgeSource::Traffic, now)),
            Self::ProbeFinished(..) => Some((KnowledgeSource::Probe, now)),
            Self::HealthMerged(fact) => Some((KnowledgeSource::Shared, fact.probed_at)),
            Self::EjectionMerged(fact) => Some((KnowledgeSource::Shared, fact.changed_at)),
            Self::FailbackMerged(fact) => Some((KnowledgeSource::Shared, fact.changed_at)),
            _ => None,
        }
    }
}
