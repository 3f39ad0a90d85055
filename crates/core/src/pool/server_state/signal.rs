//! The observations that change the state of a server.

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
    /// An operator lets traffic return.
    FailbackReleased,
    /// Another pool observed this.
    HealthMerged(HealthFact),
    EjectionMerged(EjectionFact),
    FailbackMerged(FailbackFact),
}
