//! One client request, from its arrival to its answer: the whole retry policy as a state machine.
//!
//! The driver asks [`Exchange::next`] what to do, does it, and reports with [`Exchange::on_outcome`]. There is no future in
//! here, so a proxy whose callbacks own the I/O can drive it as well as [`forward`](crate::forward()) does:
//!
//! 1. `next` says [`Step::Attempt`]: send the request to the plan's server. Ask [`Exchange::wait`] how long to wait, and again
//!    whenever that time is over. Report how the attempt ended with `on_outcome`. Keep the response if there is one; drop
//!    the one of the attempt before.
//! 2. `next` says [`Step::Finish`]: answer the client and stop.
//!
//! # A slow answer is not a dead server
//!
//! A fixed timeout for each attempt either cuts long polls and slow reports or lets a hung server hold its users. So an
//! overdue answer makes the server *suspect*: `wait` asks for a probe. If that fails, the attempt is given up and the
//! request goes elsewhere; if it passes, the application is alive and has its time. (A request that must not run twice
//! has nothing to gain from leaving, so it waits.) While it waits on, suspicion returns at doubling intervals.
//!
//! **Once a response has been passed on, nothing is tried again.**

use std::time::Duration;

use crate::classify::{Delivery, Failure, Outcome};
use crate::pool::{PoolState, Suspicion};
use crate::probe::Lease;
use crate::problem::Problem;
use crate::retry::RequestInfo;
use crate::server::{ServerId, ServerSet};
use crate::time::Timestamp;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request to a server.
    Attempt(Plan),
    /// Answer the client.
    Finish(Finish),
}

/// One send of the request to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where to.
    pub server: ServerId,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// How long response headers may take in all: what is left of the request's time, or the limit for one attempt.
    pub timeout: Duration,
    /// Whether this request alone decides if the server takes traffic again.
    pub trial: bool,
    /// When it began, on the pool's clock.
    pub started: Timestamp,
}

/// What to do about an attempt that has brought no response yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait this long, then ask again.
    For(Duration),
    /// Go on waiting; meanwhile run this probe of the same server, and ask again when it is done. When the response comes
    /// first, hand the lease back with [`PoolState::on_probe_dropped`].
    Probe(Lease),
    /// Abort the attempt and report this failure.
    NoLonger(Failure),
}

/// How the client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the last attempt's response, whatever its status.
    Answer,
    /// With an answer of our own.
    Problem(Problem),
}

/// The state of one client request.
#[derive(Debug)]
pub struct Exchange {
    request: RequestInfo,
    deadline: Timestamp,
    tried: ServerSet,
    attempts: u32,
    last: Option<Outcome>,
    fallback: bool,
    /// When the attempt under way becomes suspect, or became so last.
    suspect_at: Timestamp,
    /// From one suspicion to the next.
    patience: Duration,
}

impl Exchange {
    /// How often to look for the result of a probe that somebody else runs.
    const GLANCE: Duration = Duration::from_millis(250);

    /// An exchange that begins now.
    pub fn new(request: RequestInfo, state: &mut PoolState, now: Timestamp) -> Self {
        let deadline = state.advance(now) + state.service().retry.timeout;
        Self {
            request,
            deadline,
            tried: ServerSet::default(),
            attempts: 0,
            last: None,
            fallback: false,
            suspect_at: Timestamp::ZERO,
            patience: Duration::ZERO,
        }
    }

    /// What to do next.
    pub fn next(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let now = state.advance(now);
        let settings = state.service().retry;
        let left = self.deadline.since(now);
        let may_go_on = self.last.is_none_or(|outcome| self.request.may_go_elsewhere(outcome))
            && self.attempts < settings.attempts
            && !left.is_zero();
        let pick = may_go_on.then(|| state.pick(self.tried, &self.request, now)).flatten();
        let Some(pick) = pick else {
            return Step::Finish(self.finish(state, now));
        };
        self.tried.insert(pick.server);
        self.attempts += 1;
        self.fallback = pick.fallback;
        self.patience = settings.suspect_after.unwrap_or(Duration::MAX);
        self.suspect_at = now + self.patience;
        let timeout = settings.try_timeout.map_or(left, |limit| limit.min(left));
        Step::Attempt(Plan { server: pick.server, attempt: self.attempts, timeout, trial: pick.trial, started: now })
    }

    /// How long to wait for the response to the attempt under way.
    pub fn wait(&mut self, state: &mut PoolState, plan: &Plan, now: Timestamp) -> Wait {
        let now = state.advance(now);
        let end = plan.started + plan.timeout;
        if now >= end {
            return Wait::NoLonger(Failure::Timeout);
        }
        let could_leave = self.request.may_go_elsewhere(Outcome::Failed(Failure::Hung))
            && self.attempts < state.service().retry.attempts
            && state.has_untried(self.tried);
        if !could_leave {
            return Wait::For(end.since(now));
        }
        if now >= self.suspect_at {
            match state.suspect(plan, now) {
                Some(Suspicion::Probe(lease)) => return Wait::Probe(lease),
                Some(Suspicion::Pending) => return Wait::For(Self::GLANCE.min(end.since(now))),
                Some(Suspicion::Confirmed) => return Wait::NoLonger(Failure::Hung),
                // Alive, or nobody can say: its time doubles.
                Some(Suspicion::Refuted) | None => {
                    self.patience = self.patience.saturating_mul(2);
                    self.suspect_at = now + self.patience;
                }
            }
        }
        Wait::For(self.suspect_at.min(end).since(now))
    }

    /// Reports how an attempt ended. Not to be called when the client went away: that says nothing about the server.
    pub fn on_outcome(&mut self, state: &mut PoolState, plan: &Plan, outcome: Outcome, now: Timestamp) {
        let now = state.advance(now);
        state.on_attempt(plan, outcome, now);
        self.last = Some(outcome);
    }

    /// Attempts made so far.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the last attempt went to a server that was not thought usable, for want of a better one.
    pub const fn is_fallback(&self) -> bool {
        self.fallback
    }

    fn finish(&self, state: &PoolState, now: Timestamp) -> Finish {
        let Some(outcome) = self.last else {
            return Finish::Problem(Problem::unavailable(state.retry_after(now)));
        };
        match (outcome, outcome.verdict().delivery) {
            // An answer of the edge in place of a server ("tunnel down") is not for the client.
            (_, Delivery::Never) => Finish::Problem(Problem::unavailable(state.retry_after(now))),
            (Outcome::Status(_), _) => Finish::Answer,
            (Outcome::Failed(Failure::Timeout), _) if self.deadline <= now => Finish::Problem(Problem::TimedOut),
            (Outcome::Failed(_), _) => Finish::Problem(Problem::unavailable(state.retry_after(now))),
        }
    }
}
