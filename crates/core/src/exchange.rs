//! One client request, from its arrival to its answer: the whole retry policy as a state machine.
//!
//! The driver asks [`Exchange::next`] what to do, does it, and reports with [`Exchange::on_outcome`]. There is no future in
//! here, so a proxy whose callbacks own the I/O can drive it as well as [`forward`](crate::forward()) does:
//!
//! 1. `next` says [`Step::Attempt`]: send the request to the plan's server. Ask [`Exchange::wait`] how long to wait, and again
//!    whenever that time is over. Report how the attempt ended with `on_outcome`. Keep the response if there is one; drop
//!    the one of the attempt before.
//! 2. `next` says [`Step::Backoff`]: wait, and call it again.
//! 3. `next` says [`Step::Finish`]: answer the client and stop.
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

use crate::attempt::{Attempt, AttemptResult};
use crate::classify::{Delivery, Failure, Outcome};
use crate::local_reply::LocalReply;
use crate::pool::PoolState;
use crate::pool::probe_schedule::Lease;
use crate::pool::probing::Liveness;
use crate::retry::{RequestMeta, backoff};
use crate::server_set::ServerSet;
use crate::time::Timestamp;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request to a server.
    Attempt(Attempt),
    /// Wait this long, then ask again: before a server is asked a second time, or while another request finds out whether a
    /// server is back.
    Backoff(Duration),
    /// LocalResponse the client.
    Finish(Finish),
}

/// What to do about an attempt that has brought no response yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait this long, then ask again.
    Sleep(Duration),
    /// Go on waiting; meanwhile run a probe of the same server, and ask again when it is done.
    Probe {
        /// The right to it. When the response comes first, or the time is over, hand it back with
        /// [`PoolState::release_lease`].
        lease: Lease,
        /// How long to wait at most, then ask again.
        at_most: Duration,
    },
    /// Abort the attempt and report this failure.
    GiveUp(Failure),
}

/// How the client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the last attempt's response, whatever its status.
    Response,
    /// With an answer of our own.
    LocalReply(LocalReply),
}

/// The state of one client request.
#[derive(Debug)]
pub struct Exchange {
    request: RequestMeta,
    deadline: Timestamp,
    tried: ServerSet,
    attempts: u32,
    /// How the last attempt ended.
    last: Option<AttemptResult>,
    /// Whether its server had failed others as well by then.
    dropped: bool,
    /// Times the list was gone through, the present one included.
    round: u32,
    /// Why nobody could be asked (any more).
    rejection: Option<LocalReply>,
    fallback: bool,
    /// Until when to wait for what others find out about a server.
    news_by: Option<Timestamp>,
    /// When the attempt under way becomes suspect, or became so last.
    suspect_at: Timestamp,
    /// From one suspicion to the next.
    patience: Duration,
}

impl Exchange {
    /// How often to look for what somebody else finds out, by a probe or a request.
    const GLANCE: Duration = Duration::from_millis(250);

    /// How long to wait in all for others to find out who is back: a well server has answered by then.
    const NEWS: Duration = Duration::from_secs(1);

    /// An exchange that begins now.
    pub fn new(request: RequestMeta, state: &mut PoolState, now: Timestamp) -> Self {
        let now = state.advance(now);
        state.budget.on_request(now);
        let deadline = now + state.service().retry.timeout;
        Self {
            request,
            deadline,
            tried: ServerSet::default(),
            attempts: 0,
            last: None,
            dropped: false,
            round: 1,
            rejection: None,
            fallback: false,
            news_by: None,
            suspect_at: Timestamp::ZERO,
            patience: Duration::ZERO,
        }
    }

    /// What to do next.
    pub fn next(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let now = state.advance(now);
        self.step(state, now)
    }

    /// How long to wait for the response to the attempt under way.
    pub fn wait(&mut self, state: &mut PoolState, plan: &Attempt, now: Timestamp) -> Wait {
        let now = state.advance(now);
        let end = plan.started + plan.timeout;
        if now >= end {
            return Wait::GiveUp(Failure::Timeout);
        }
        let settings = &state.service.retry;
        let could_leave = self.request.is_retryable_after(Outcome::Failed(Failure::Unresponsive), settings)
            && self.attempts < settings.attempts
            && state.has_other_candidate(self.tried, &self.request, now);
        if !could_leave {
            return Wait::Sleep(end.since(now));
        }
        if now >= self.suspect_at {
            match state.check_liveness(plan, self.fallback, now) {
                Some(Liveness::StartProbe(lease)) => return Wait::Probe { lease, at_most: end.since(now) },
                Some(Liveness::Probing) => return Wait::Sleep(Self::GLANCE.min(end.since(now))),
                Some(Liveness::Dead) => return Wait::GiveUp(Failure::Unresponsive),
                // Alive, or nobody can say: its time doubles.
                Some(Liveness::Alive) | None => {
                    self.patience = self.patience.saturating_mul(2).max(Self::GLANCE);
                    self.suspect_at = now + self.patience;
                }
            }
        }
        Wait::Sleep(self.suspect_at.min(end).since(now))
    }

    /// Reports how an attempt ended. When the client went away, call [`PoolState::on_attempt_canceled`] instead: that is no failure.
    pub fn on_outcome(
        &mut self,
        state: &mut PoolState,
        plan: &Attempt,
        ended: impl Into<AttemptResult>,
        now: Timestamp,
    ) {
        let (now, ended) = (state.advance(now), ended.into());
        let impact = self.request.impact(ended.outcome, &state.service.retry);
        state.on_attempt(plan, ended, impact, now);
        self.last = Some(ended);
        self.dropped = state.has_consecutive_failures(plan.server);
    }

    /// Attempts made so far.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the last attempt went to a server that was not thought usable, for want of a better one.
    pub const fn is_fallback(&self) -> bool {
        self.fallback
    }

    fn step(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let left = self.deadline.since(now);
        if left.is_zero() || !self.may_go_on(state) {
            return Step::Finish(self.finish(state, now));
        }
        let pick = match state.pick_at(self.tried, &self.request, now) {
            Ok(pick) => pick,
            Err(rejection) => {
                self.rejection = Some(rejection);
                return self.next_round(state, left, now).unwrap_or_else(|| Step::Finish(self.finish(state, now)));
            }
        };
        let (settings, signals) = (&state.service.retry, state.signals(pick.server));
        // What was never delivered cost nobody anything, and a server without a blemish can take what a dead one dropped.
        let delivered = self.last.is_some_and(|last| settings.classify(last.outcome).delivery != Delivery::Never);
        let lately = signals.failed_within(PoolState::LATELY, now);
        let tried = signals.has_trial_in_flight(now);
        let charged = delivered && (!self.dropped || lately || tried);
        // Where somebody is finding out already whether the server is back, a crowd need not do so as one. For a server with
        // too much to do that would only be one delay more.
        let slow = self.last.is_some_and(|last| last.outcome == Outcome::Failed(Failure::Timeout));
        if charged && tried && (lately || pick.fallback) && self.round == 1 && !slow {
            let wait = self.news_by.get_or_insert_with(|| now + Self::NEWS).since(now).min(left);
            if !wait.is_zero() {
                return Step::Backoff(Self::GLANCE.min(wait));
            }
        }
        if charged && !state.budget.take(now, &settings.budget) {
            return Step::Finish(self.finish(state, now));
        }
        self.tried.insert(pick.server);
        self.attempts += 1;
        self.fallback = pick.fallback;
        self.patience = settings.liveness_check_after.unwrap_or(Duration::MAX);
        self.suspect_at = now + self.patience;
        let timeout = settings.per_try_timeout.map_or(left, |limit| limit.min(left));
        state.on_attempt_started(pick, now);
        Step::Attempt(Attempt { server: pick.server, attempt: self.attempts, timeout, trial: pick.trial, started: now })
    }

    fn may_go_on(&self, state: &PoolState) -> bool {
        let settings = &state.service.retry;
        self.attempts < settings.attempts
            && self.last.is_none_or(|last| self.request.is_retryable_after(last.outcome, settings))
    }

    /// Goes through the list once more, after a pause, if that is wanted and there is time.
    fn next_round(&mut self, state: &mut PoolState, left: Duration, now: Timestamp) -> Option<Step> {
        let last = self.last.filter(|_| self.round < state.service.retry.rounds)?;
        let pause = backoff::delay(self.round, &mut state.rng).max(last.retry_after.unwrap_or_default());
        if pause >= left {
            return None;
        }
        self.round += 1;
        self.tried = ServerSet::EMPTY;
        self.rejection = None;
        Some(if pause.is_zero() { self.step(state, now) } else { Step::Backoff(pause) })
    }

    fn finish(&self, state: &PoolState, now: Timestamp) -> Finish {
        let problem = || self.rejection.unwrap_or_else(|| LocalReply::unavailable(state.retry_after(now)));
        let Some(outcome) = self.last.map(|last| last.outcome) else {
            return Finish::LocalReply(problem());
        };
        match (outcome, state.service.retry.classify(outcome).delivery) {
            // An answer of the edge in place of a server ("tunnel down") is not for the client.
            (_, Delivery::Never) => Finish::LocalReply(problem()),
            (Outcome::Status(_), _) => Finish::Response,
            (Outcome::Failed(Failure::Timeout), _) if self.deadline <= now => Finish::LocalReply(LocalReply::TimedOut),
            (Outcome::Failed(_), _) => Finish::LocalReply(problem()),
        }
    }
}
