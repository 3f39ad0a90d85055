//! The decisions about one request, in order: what `X-Balancer-Trace` shows.
//!
//! An [`Exchange`](crate::Exchange) records one if its request [asks for it](RequestMeta::trace).
//! Others cost one comparison per decision.

use std::time::Duration;

use crate::attempt::{AttemptInfo, AttemptResult};
use crate::classify::{Delivery, Failure, Outcome, Ruling};
use crate::local_reply::LocalReply;
use crate::pool::{Health, KnowledgeSource, Standing};
use crate::retry::RequestMeta;
use crate::server_set::ServerId;
use crate::service::RetrySettings;
use crate::time::Timestamp;

/// The decisions about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    started: Timestamp,
    steps: Vec<TraceStep>,
    omitted: u32,
    /// The cause of the failure that is reported next, as the host knows it.
    detail: Option<String>,
}

/// One decision, or what led to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStep {
    /// The time since the request started.
    pub at: Duration,
    /// What happened.
    pub event: TraceEvent,
}

/// What a step of a trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A server was to be selected among these: all of the service, in the order of its list. A
    /// selection that finds the same standings again is not recorded.
    Selection(Vec<Candidate>),
    /// An attempt started.
    AttemptStarted(AttemptInfo),
    /// An attempt ended.
    AttemptFinished {
        /// The attempt.
        info: AttemptInfo,
        /// How it ended.
        outcome: Outcome,
        /// Whether the application can have seen it, its effect on the health of the server, and
        /// whether the request may be sent again.
        ruling: Ruling,
        /// The cause of a failure, as the host knows it.
        detail: Option<String>,
        /// How long it took.
        duration: Duration,
    },
    /// An attempt was canceled, because another one was faster or the request ended.
    AttemptCanceled {
        /// The attempt.
        info: AttemptInfo,
        /// How long it took.
        duration: Duration,
    },
    /// The request waited.
    Waited {
        /// For what.
        reason: WaitReason,
        /// How long, at most.
        duration: Duration,
    },
    /// No further attempt is made.
    Stopped(StopReason),
}

/// The standing of a server when one was to be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The server.
    pub server: ServerId,
    /// Whether it could be selected.
    pub standing: Standing,
    /// The rest of its ejection.
    pub ejected_for: Option<Duration>,
    /// Its state by probes.
    pub health: Health,
    /// Where the newest signal from the server came from, and its age. `None` before the first one.
    pub knowledge: Option<(KnowledgeSource, Duration)>,
}

/// Why a request waited before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// It is held until a server returns.
    Held,
    /// It is held until a server has a free place.
    HeldAtCapacity,
    /// Another request shows whether the failing server has recovered.
    TrialInFlight,
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The application responded.
    Answered,
    /// The request is not sent to any server, for this reason.
    Refused(LocalReply),
    /// The request may have run, and must not run twice.
    NotIdempotent,
    /// The body was streamed, and cannot be sent again.
    BodyNotReplayable,
    /// The client did not send the whole request.
    ClientAborted,
    /// The number of attempts is used up.
    AttemptsUsedUp,
    /// The retry budget is used up.
    BudgetUsedUp,
    /// The time of the request, or of its hold, is over.
    TimedOut,
    /// No server could be selected, for this reason.
    NoServer(LocalReply),
}

impl Trace {
    /// The largest number of steps that are recorded.
    const MAX_STEPS: usize = 256;

    pub(crate) const fn new(started: Timestamp) -> Self {
        Self { started, steps: Vec::new(), omitted: 0, detail: None }
    }

    /// Returns the steps in order.
    pub fn steps(&self) -> &[TraceStep] {
        &self.steps
    }

    /// Returns the number of further steps, which were not recorded.
    pub const fn omitted(&self) -> u32 {
        self.omitted
    }

    /// Returns the time from the start of the request to its last step.
    pub fn duration(&self) -> Duration {
        self.steps.last().map(|step| step.at).unwrap_or_default()
    }

    /// Sets the cause of the failure that is reported next.
    pub(crate) fn set_detail(&mut self, detail: Option<String>) {
        self.detail = detail;
    }

    pub(crate) fn on_selection(&mut self, candidates: Vec<Candidate>, now: Timestamp) {
        let last = self.steps.iter().rev().find_map(|step| match &step.event {
            TraceEvent::Selection(candidates) => Some(candidates),
            _ => None,
        });
        let standings = |candidates: &[Candidate]| candidates.iter().map(|it| it.standing.as_str()).collect::<Vec<_>>();
        if last.is_none_or(|last| standings(last) != standings(&candidates)) {
            self.push(TraceEvent::Selection(candidates), now);
        }
    }

    pub(crate) fn on_finished(&mut self, info: AttemptInfo, result: AttemptResult, ruling: Ruling, now: Timestamp) {
        let (detail, duration) = (self.detail.take(), now.since(info.started));
        self.push(TraceEvent::AttemptFinished { info, outcome: result.outcome, ruling, detail, duration }, now);
    }

    pub(crate) fn on_canceled(&mut self, info: AttemptInfo, now: Timestamp) {
        self.push(TraceEvent::AttemptCanceled { info, duration: now.since(info.started) }, now);
    }

    /// Records a wait, as one with the wait before it.
    pub(crate) fn on_wait(&mut self, reason: WaitReason, pause: Duration, now: Timestamp) {
        if let Some(TraceStep { at, event: TraceEvent::Waited { reason: last, duration } }) = self.steps.last_mut()
            && *last == reason
        {
            *duration = (now + pause).since(self.started).saturating_sub(*at);
            return;
        }
        self.push(TraceEvent::Waited { reason, duration: pause }, now);
    }

    pub(crate) fn push(&mut self, event: TraceEvent, now: Timestamp) {
        if self.steps.len() < Self::MAX_STEPS {
            self.steps.push(TraceStep { at: now.since(self.started), event });
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }
}

impl WaitReason {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::HeldAtCapacity => "held_at_capacity",
            Self::TrialInFlight => "trial_in_flight",
        }
    }
}

impl StopReason {
    /// Returns the reason that a failed request is not sent again by its nature.
    pub(crate) fn not_retryable(request: &RequestMeta, outcome: Outcome, settings: &RetrySettings) -> Self {
        if outcome == Outcome::Failed(Failure::ClientAborted) {
            return Self::ClientAborted;
        }
        let may_run_again = settings.classify(outcome).delivery == Delivery::Never || request.is_idempotent(settings);
        if may_run_again { Self::BodyNotReplayable } else { Self::NotIdempotent }
    }

    /// Returns the stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "responded",
            Self::Refused(reply) | Self::NoServer(reply) => reply.code(),
            Self::NotIdempotent => "not_idempotent",
            Self::BodyNotReplayable => "body_not_replayable",
            Self::ClientAborted => "client_aborted",
            Self::AttemptsUsedUp => "attempts_used_up",
            Self::BudgetUsedUp => "budget_used_up",
            Self::TimedOut => "timed_out",
        }
    }
}
