//! One client request, from its arrival to its response: the whole retry policy as a state machine.
//!
//! The driver carries out a [`Step`] and reports the result, which gives the next step. There is
//! no future in here, so a proxy whose callbacks own the I/O can drive it, as
//! [`forward`](crate::forward()) does:
//!
//! 1. [`Exchange::start`] returns the first step.
//! 2. [`Step::Attempt`]: send the request to the attempt's server. Call [`Exchange::wait`] to learn
//!    how long to wait for the response, and again whenever that time is over. Report the result
//!    with [`Exchange::report`]. Keep the response, if there is one; drop the one of the attempt
//!    before.
//! 3. [`Step::Sleep`]: wait, and call [`Exchange::resume`].
//! 4. [`Step::Finish`]: respond to the client and stop.
//!
//! Hosts that can run two attempts at a time also call [`Exchange::hedge`] after `wait`. After the
//! result of one of them a step may be [`Step::Await`]: the other attempt is still in flight. When
//! the exchange finishes before it, or the client disconnects, [`Exchange::cancel`] it. When the
//! client of a held request disconnects, [`Exchange::abandon`] the exchange.
//!
//! # A slow response is not a dead server
//!
//! A fixed timeout for each attempt either cuts long polls and slow reports, or lets a hung server
//! hold its users. So an overdue response makes a liveness probe due, and what follows depends on
//! the evidence (see `pool/stall.rs`). Without a response to either for longer than usual, the
//! server is *stalled*: safe requests are hedged and new ones go elsewhere. When the probe has
//! failed and `liveness_check_after` and the probe's timeout have passed, the server is ejected and
//! the attempt is given up. As long as the server responds to something, the attempt continues.
//!
//! **Once a response has been passed on, nothing is tried again.**

use std::time::Duration;

use crate::attempt::{Attempt, AttemptInfo, AttemptResult, Selection};
use crate::classify::{Delivery, Failure, Outcome, Ruling};
use crate::local_reply::LocalReply;
use crate::pool::{Liveness, PoolState};
use crate::retry::RequestMeta;
use crate::server_set::{ServerId, ServerSet};
use crate::service::RetrySettings;
use crate::time::Timestamp;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request to a server.
    Attempt(Attempt),
    /// Wait this long, then call [`Exchange::resume`].
    Sleep(Duration),
    /// Wait for the other attempt in flight.
    Await,
    /// Respond to the client.
    Finish(Finish),
}

/// What to do about an attempt that has no response yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait this long, then call [`Exchange::wait`] again.
    Sleep(Duration),
    /// Start the probes that are due ([`PoolState::next_probe`]), then wait this long. The probes
    /// belong to the pool: they run to their end when the request does not.
    Probe(Duration),
    /// Abort the attempt and report this failure.
    GiveUp(Failure),
}

/// How the client is responded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the response that was reported last, whatever its status.
    Response,
    /// With a response of the balancer.
    LocalReply(LocalReply),
}

/// The state of one client request.
#[derive(Debug)]
pub struct Exchange {
    request: RequestMeta,
    deadline: Timestamp,
    tried: ServerSet,
    attempts: u32,
    last_started: Timestamp,
    in_flight: u32,
    /// The last result and its interpretation.
    last: Option<(AttemptResult, Ruling)>,
    /// Whether its server had failed other requests, too.
    server_was_failing: bool,
    /// Whether an unavailable server was selected last.
    last_resort: bool,
    /// Why no server could be selected last.
    rejection: Option<LocalReply>,
    /// Until when to wait for the result of another request's trial.
    trial_wait_until: Option<Timestamp>,
    /// Until when the request is held.
    held_until: Option<Timestamp>,
    held: bool,
}

impl Exchange {
    /// How often to check for the result of a probe or of another request.
    const POLL_INTERVAL: Duration = Duration::from_millis(250);

    /// How long to wait in all for the trials of other requests: a working server has responded by
    /// then.
    const TRIAL_WAIT: Duration = Duration::from_secs(1);

    /// Starts an exchange.
    pub fn start(request: RequestMeta, state: &mut PoolState, now: Timestamp) -> (Self, Step) {
        let now = state.advance(now);
        state.on_request(now);
        let mut exchange = Self {
            request,
            deadline: now + state.service().retry.timeout,
            tried: ServerSet::EMPTY,
            attempts: 0,
            last_started: now,
            in_flight: 0,
            last: None,
            server_was_failing: false,
            last_resort: false,
            rejection: None,
            trial_wait_until: None,
            held_until: None,
            held: false,
        };
        let step = exchange.next(state, now);
        (exchange, step)
    }

    /// Continues after a [`Step::Sleep`].
    pub fn resume(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let now = state.advance(now);
        self.next(state, now)
    }

    /// Reports how an attempt ended.
    #[expect(clippy::needless_pass_by_value, reason = "an attempt is used up here")]
    pub fn report(
        &mut self,
        state: &mut PoolState,
        attempt: Attempt,
        result: impl Into<AttemptResult>,
        now: Timestamp,
    ) -> Step {
        let (now, result) = (state.advance(now), result.into());
        let ruling = self.request.rule(result.outcome, &state.service().retry);
        state.on_attempt_finished(attempt.info, result, ruling.impact, now);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last = Some((result, ruling));
        self.server_was_failing = state.has_consecutive_failures(attempt.server());
        match ruling.delivery {
            Delivery::Answered => Step::Finish(self.finish(state, now)),
            _ if self.in_flight > 0 => Step::Await,
            // A held request is sent once per interval.
            _ if ruling.retryable && self.held_until.is_some() => {
                self.hold(state, now).unwrap_or_else(|| Step::Finish(self.finish(state, now)))
            }
            _ => self.next(state, now),
        }
    }

    /// Ends an attempt that is no longer waited for: the client disconnected, or another attempt
    /// was faster. That is no failure.
    #[expect(clippy::needless_pass_by_value, reason = "an attempt is used up here")]
    pub fn cancel(&mut self, state: &mut PoolState, attempt: Attempt, now: Timestamp) {
        let now = state.advance(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let was_faster = self.last.is_some_and(|(_, ruling)| ruling.delivery == Delivery::Answered);
        state.on_attempt_canceled(attempt.info, was_faster, now);
    }

    /// Gives up the place of a held request whose client disconnected.
    pub fn abandon(&mut self, state: &mut PoolState) {
        self.leave_queue(state);
    }

    /// Returns how long to wait for the response to an attempt. `body_sent` is whether the
    /// server has the whole request: while the client uploads, neither timeouts nor liveness checks
    /// apply.
    pub fn wait(&mut self, state: &mut PoolState, attempt: &mut Attempt, body_sent: bool, now: Timestamp) -> Wait {
        let now = state.advance(now);
        if !body_sent {
            attempt.waiting_since = now;
            attempt.next_check = now + attempt.check_interval;
            self.deadline = now + state.service().retry.timeout;
            return Wait::Sleep(Self::POLL_INTERVAL);
        }
        let can_leave = self.can_leave(attempt.server(), state, now);
        // A slow response is better than none: the attempt is only cut if a retry will follow and
        // may be faster.
        let may_cut = can_leave && state.is_retry_left(now) && !state.is_overloaded(now);
        let per_try = state.service().retry.per_try_timeout.filter(|_| may_cut);
        let end = per_try.map_or(self.deadline, |limit| self.deadline.min(attempt.waiting_since + limit));
        if now >= end {
            return Wait::GiveUp(Failure::Timeout);
        }
        if now < attempt.next_check {
            return Wait::Sleep(attempt.next_check.min(end).since(now));
        }
        let liveness = state.check_liveness(attempt.info, attempt.waiting_since, now);
        if !matches!(liveness, Liveness::Hung { .. }) {
            attempt.hung_since = None;
        }
        attempt.next_check = match liveness {
            Liveness::Alive => {
                attempt.check_interval = attempt.check_interval.saturating_mul(2).max(Self::POLL_INTERVAL);
                now + attempt.check_interval
            }
            Liveness::Undecided { until } => until,
            // An unavailable server that responds to nothing is not awaited.
            Liveness::Stalled if attempt.info.last_resort && can_leave => {
                return Wait::GiveUp(Failure::Unresponsive);
            }
            Liveness::ProbeDue | Liveness::Stalled => now + Self::POLL_INTERVAL,
            Liveness::Hung { confirmed } => {
                let hung_since = *attempt.hung_since.get_or_insert(now);
                let is_over = now.since(hung_since) >= PoolState::HUNG_RESPONSE_GRACE;
                if (confirmed && can_leave) || is_over {
                    return Wait::GiveUp(Failure::Unresponsive);
                }
                now + Self::POLL_INTERVAL
            }
        };
        let time = attempt.next_check.min(end).since(now);
        if liveness == Liveness::ProbeDue { Wait::Probe(time) } else { Wait::Sleep(time) }
    }

    /// Returns a second attempt to run beside `attempt`, if that one waits on a server that is
    /// stalled or hung, or is an overdue trial; the request is safe to run twice at a time; another
    /// server is available; and the hedge budget allows it. The first good response wins.
    ///
    /// No request is hedged after a timeout: servers are busy then, and a hedge would add to it.
    pub fn hedge(&mut self, state: &mut PoolState, attempt: &Attempt, now: Timestamp) -> Option<Attempt> {
        let now = state.advance(now);
        let settings = &state.service().retry;
        let timed_out = self.last.is_some_and(|(last, _)| last.outcome == Outcome::Failed(Failure::Timeout));
        // A held request is sent once per interval.
        let is_paused = self.held_until.is_some() && now.since(self.last_started) < RetrySettings::HOLD_INTERVAL;
        let is_wanted = settings.hedge
            && !is_paused
            && self.in_flight == 1
            && self.is_attempt_left(state, now)
            && self.request.is_hedgeable()
            && !timed_out;
        if !is_wanted || !state.is_not_responding(attempt.info, now) {
            return None;
        }
        let server = state.select_hedge(self.tried_beside(attempt.server()), &self.request, now)?;
        if !state.withdraw_hedge(now) {
            return None;
        }
        let selection = Selection { server, trial: false, last_resort: false };
        Some(self.attempt(state, selection, true, now))
    }

    /// Returns whether the request is being held, and so has a place in the queue.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Returns the number of attempts so far.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns whether the last attempt went to an unavailable server, because none was available.
    pub const fn is_last_resort(&self) -> bool {
        self.last_resort
    }

    fn next(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let step = self.decide(state, now);
        if !matches!(step, Step::Sleep(_)) {
            self.leave_queue(state);
        }
        step
    }

    fn leave_queue(&mut self, state: &mut PoolState) {
        if std::mem::take(&mut self.held) {
            self.held_until.into_iter().for_each(|until| state.hold().leave(until));
        }
    }

    fn decide(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let left = self.deadline.since(now);
        let is_retryable = self.last.is_none_or(|(_, ruling)| ruling.retryable);
        if left.is_zero() || !is_retryable {
            return Step::Finish(self.finish(state, now));
        }
        let attempts_left = self.attempts < state.service().retry.attempts || self.held_until.is_some();
        let selection = if attempts_left { Some(self.select(state, now)) } else { None };
        let Some(Ok(selection)) = selection else {
            self.rejection = selection.and_then(Result::err);
            return self.hold(state, now).unwrap_or_else(|| Step::Finish(self.finish(state, now)));
        };
        self.rejection = None;
        let id = selection.server;
        // While no server is available, requests that arrive are held at once.
        if selection.last_resort
            && state.being_tried(RetrySettings::HOLD_INTERVAL, now).contains(id)
            && let Some(step) = self.hold(state, now)
        {
            return step;
        }
        // A request that was never delivered caused no load, and a working server can take the
        // requests of a dead one.
        let delivered = self.last.is_some_and(|(_, ruling)| ruling.delivery != Delivery::Never);
        let (failed_recently, trial) = (state.failed_recently(id, now), state.has_trial_in_flight(id, now));
        // Held requests try a failing server one at a time, which bounds their load by itself.
        let bounded = self.held_until.is_some() && (selection.last_resort || state.is_failing(id));
        // After a timeout servers may only be busy, and every retry makes that worse.
        let timed_out = self.last.is_some_and(|(last, _)| last.outcome == Outcome::Failed(Failure::Timeout));
        let charged = delivered && !bounded && (timed_out || !self.server_was_failing || failed_recently || trial);
        // If another request already tests whether the server has recovered, many need not do so at
        // once. After a timeout, waiting would only delay requests to a busy server.
        if charged && trial && (failed_recently || selection.last_resort) && self.held_until.is_none() && !timed_out {
            let wait = self.trial_wait_until.get_or_insert_with(|| now + Self::TRIAL_WAIT).since(now).min(left);
            if !wait.is_zero() {
                return Step::Sleep(Self::POLL_INTERVAL.min(wait));
            }
        }
        if charged && !state.withdraw_retry(now) {
            return Step::Finish(self.finish(state, now));
        }
        Step::Attempt(self.attempt(state, selection, false, now))
    }

    /// Selects a server that was not tried yet. Held requests try the servers again and again, each
    /// failing one by one request at a time.
    fn select(&mut self, state: &mut PoolState, now: Timestamp) -> Result<Selection, LocalReply> {
        if self.held_until.is_none() {
            return state.select(self.tried, &self.request, now);
        }
        let being_tried = state.being_tried(RetrySettings::HOLD_INTERVAL, now);
        // One that has returned comes first, even if it was tried.
        if let Ok(selection) = state.select(being_tried, &self.request, now)
            && !state.is_failing(selection.server)
        {
            return Ok(selection);
        }
        state.select(self.tried.union(being_tried), &self.request, now).or_else(|_| {
            self.tried = ServerSet::EMPTY;
            state.select(being_tried, &self.request, now)
        })
    }

    fn attempt(&mut self, state: &mut PoolState, selection: Selection, hedge: bool, now: Timestamp) -> Attempt {
        self.tried.insert(selection.server);
        self.attempts += 1;
        self.last_started = now;
        self.in_flight += 1;
        self.last_resort = selection.last_resort;
        let info = AttemptInfo {
            server: selection.server,
            number: self.attempts,
            hedge,
            trial: selection.trial,
            last_resort: selection.last_resort,
            started: now,
        };
        let first_check = state.first_liveness_check(selection.server, selection.last_resort);
        state.on_attempt_started(info, now);
        let mut attempt = Attempt::new(info, first_check.unwrap_or(Duration::MAX));
        attempt.next_check = first_check.map_or(self.deadline, |check| now + check);
        attempt
    }

    /// Holds the request until a server returns or a place is free, if that is wanted and its time
    /// is not over.
    fn hold(&mut self, state: &mut PoolState, now: Timestamp) -> Option<Step> {
        let hold = state.service().retry.hold?;
        let until = self.held_until.unwrap_or_else(|| now + hold).min(self.deadline);
        if now >= until || (!self.held && !state.hold().enter(until, now)) {
            return None;
        }
        (self.held, self.held_until) = (true, Some(until));
        // Requests that wait for a free place must not all check for it at the same moment.
        let interval = match self.rejection {
            Some(LocalReply::Overloaded) => state.random_up_to(RetrySettings::HOLD_INTERVAL),
            _ => RetrySettings::HOLD_INTERVAL,
        };
        Some(Step::Sleep(interval.min(until.since(now))))
    }

    /// Returns whether the request may be sent to another server if the attempt on `server` is
    /// given up.
    fn can_leave(&self, server: ServerId, state: &mut PoolState, now: Timestamp) -> bool {
        let given_up = Outcome::Failed(Failure::Unresponsive);
        self.request.rule(given_up, &state.service().retry).retryable
            && self.is_attempt_left(state, now)
            && state.has_other_candidate(self.tried_beside(server), &self.request, now)
    }

    /// Returns whether one more attempt is allowed. A held request has no limit but its time.
    fn is_attempt_left(&self, state: &PoolState, now: Timestamp) -> bool {
        self.attempts < state.service().retry.attempts || self.held_until.is_some_and(|until| now < until)
    }

    /// Returns the servers that are out of the question while an attempt on `server` is in flight.
    /// A held request may be sent to the others again.
    fn tried_beside(&self, server: ServerId) -> ServerSet {
        if self.held_until.is_some() { ServerSet::single(server) } else { self.tried }
    }

    fn finish(&self, state: &PoolState, now: Timestamp) -> Finish {
        let local_reply = || self.rejection.unwrap_or_else(|| state.unavailable(&self.request, now));
        let Some((result, ruling)) = self.last else { return Finish::LocalReply(local_reply()) };
        match (result.outcome, ruling.delivery) {
            // The edge's own response in place of the server's ("tunnel down") is not passed on.
            (_, Delivery::Never) => Finish::LocalReply(local_reply()),
            (Outcome::Status(_), _) => Finish::Response,
            (Outcome::Failed(Failure::ClientAborted), _) => Finish::LocalReply(LocalReply::Incomplete),
            (Outcome::Failed(Failure::Timeout), _) if self.deadline <= now => Finish::LocalReply(LocalReply::TimedOut),
            (Outcome::Failed(_), _) => Finish::LocalReply(local_reply()),
        }
    }
}
