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

use crate::attempt::{Attempted, Plan};
use crate::classify::{Delivery, Failure, Outcome};
use crate::local_reply::Problem;
use crate::pool::PoolState;
use crate::pool::probe_schedule::Lease;
use crate::pool::probing::Suspicion;
use crate::retry::{RequestInfo, backoff};
use crate::server_set::ServerSet;
use crate::time::Timestamp;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request to a server.
    Attempt(Plan),
    /// Wait this long, then ask again: before a server is asked a second time, or while another request finds out whether a
    /// server is back.
    Backoff(Duration),
    /// Answer the client.
    Finish(Finish),
}

/// What to do about an attempt that has brought no response yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait this long, then ask again.
    For(Duration),
    /// Go on waiting; meanwhile run a probe of the same server, and ask again when it is done.
    Probe {
        /// The right to it. When the response comes first, or the time is over, hand it back with
        /// [`PoolState::on_probe_dropped`].
        lease: Lease,
        /// How long to wait at most, then ask again.
        at_most: Duration,
    },
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
    /// How the last attempt ended.
    last: Option<Attempted>,
    /// Whether its server had failed others as well by then.
    dropped: bool,
    /// Times the list was gone through, the present one included.
    round: u32,
    /// Why nobody could be asked (any more).
    refusal: Option<Problem>,
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
    pub fn new(request: RequestInfo, state: &mut PoolState, now: Timestamp) -> Self {
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
            refusal: None,
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
    pub fn wait(&mut self, state: &mut PoolState, plan: &Plan, now: Timestamp) -> Wait {
        let now = state.advance(now);
        let end = plan.started + plan.timeout;
        if now >= end {
            return Wait::NoLonger(Failure::Timeout);
        }
        let settings = &state.service.retry;
        let could_leave = self.request.may_be_sent_again(Outcome::Failed(Failure::Hung), settings)
            && self.attempts < settings.attempts
            && state.has_another(self.tried, &self.request, now);
        if !could_leave {
            return Wait::For(end.since(now));
        }
        if now >= self.suspect_at {
            match state.suspect(plan, self.fallback, now) {
                Some(Suspicion::Probe(lease)) => return Wait::Probe { lease, at_most: end.since(now) },
                Some(Suspicion::Pending) => return Wait::For(Self::GLANCE.min(end.since(now))),
                Some(Suspicion::Confirmed) => return Wait::NoLonger(Failure::Hung),
                // Alive, or nobody can say: its time doubles.
                Some(Suspicion::Refuted) | None => {
                    self.patience = self.patience.saturating_mul(2).max(Self::GLANCE);
                    self.suspect_at = now + self.patience;
                }
            }
        }
        Wait::For(self.suspect_at.min(end).since(now))
    }

    /// Reports how an attempt ended. When the client went away, call [`PoolState::on_abandoned`] instead: that is no failure.
    pub fn on_outcome(&mut self, state: &mut PoolState, plan: &Plan, ended: impl Into<Attempted>, now: Timestamp) {
        let (now, ended) = (state.advance(now), ended.into());
        let blame = self.request.blame(ended.outcome, &state.service.retry);
        state.on_attempt(plan, ended, blame, now);
        self.last = Some(ended);
        self.dropped = state.keeps_failing(plan.server);
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
            Err(refusal) => {
                self.refusal = Some(refusal);
                return self.next_round(state, left, now).unwrap_or_else(|| Step::Finish(self.finish(state, now)));
            }
        };
        let (settings, evidence) = (&state.service.retry, state.evidence(pick.server));
        // What was never delivered cost nobody anything, and a server without a blemish can take what a dead one dropped.
        let delivered = self.last.is_some_and(|last| settings.verdict(last.outcome).delivery != Delivery::Never);
        let lately = evidence.has_failed_within(PoolState::LATELY, now);
        let tried = evidence.is_being_tried(now);
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
        self.patience = settings.suspect_after.unwrap_or(Duration::MAX);
        self.suspect_at = now + self.patience;
        let timeout = settings.try_timeout.map_or(left, |limit| limit.min(left));
        state.on_begin(pick, now);
        Step::Attempt(Plan { server: pick.server, attempt: self.attempts, timeout, trial: pick.trial, started: now })
    }

    fn may_go_on(&self, state: &PoolState) -> bool {
        let settings = &state.service.retry;
        self.attempts < settings.attempts
            && self.last.is_none_or(|last| self.request.may_be_sent_again(last.outcome, settings))
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
        self.refusal = None;
        Some(if pause.is_zero() { self.step(state, now) } else { Step::Backoff(pause) })
    }

    fn finish(&self, state: &PoolState, now: Timestamp) -> Finish {
        let problem = || self.refusal.unwrap_or_else(|| Problem::unavailable(state.retry_after(now)));
        let Some(outcome) = self.last.map(|last| last.outcome) else {
            return Finish::Problem(problem());
        };
        match (outcome, state.service.retry.verdict(outcome).delivery) {
            // An answer of the edge in place of a server ("tunnel down") is not for the client.
            (_, Delivery::Never) => Finish::Problem(problem()),
            (Outcome::Status(_), _) => Finish::Answer,
            (Outcome::Failed(Failure::Timeout), _) if self.deadline <= now => Finish::Problem(Problem::TimedOut),
            (Outcome::Failed(_), _) => Finish::Problem(problem()),
        }
    }
}
