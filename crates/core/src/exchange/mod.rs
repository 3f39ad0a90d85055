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
//! client disconnects before the last step, [`Exchange::abandon`] the exchange.
//!
//! A call at another time is harmless: no result counts twice, and no attempt starts beside another
//! one or after the end.
//!
//! A host that cannot wait between attempts sets [`RequestMeta::can_wait`] to `false`: then there
//! is no [`Step::Sleep`]. [`Reservation`](crate::Reservation) is such an exchange, for callbacks.
//!
//! # A slow response is not a dead server
//!
//! A fixed timeout for each attempt either aborts long polls and slow reports, or makes clients of
//! a hung server wait. So an overdue response makes a liveness probe due, and what follows depends
//! on the evidence (see `pool/stall.rs`). Without a response to either for longer than usual, the
//! server is *stalled*: safe requests are hedged and new ones go elsewhere. When the probe has
//! failed and `liveness_check_after` and the probe's timeout have passed, the server is ejected and
//! the attempt is aborted. As long as the server responds to something, the attempt continues.
//!
//! **Once a response has been passed on, nothing is tried again.**

mod holding;
mod waiting;

use std::time::Duration;

use crate::attempt::{Attempt, AttemptInfo, AttemptResult, Selection};
use crate::classify::{Delivery, Failure, HealthImpact, Outcome, Ruling};
use crate::local_reply::LocalReply;
use crate::pool::PoolState;
use crate::retry::RequestMeta;
use crate::server_set::ServerSet;
use crate::service::RetrySettings;
use crate::time::Timestamp;
use crate::trace::{StopReason, Trace, TraceEvent, WaitReason};

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
    started: Timestamp,
    /// The last step, once it was returned or the client has disconnected.
    finish: Option<Finish>,
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
    /// Whether a retry was reserved for the attempt whose result was reported.
    retry_reserved: bool,
    /// Until when the request is held.
    held_until: Option<Timestamp>,
    held: bool,
    /// The decisions so far, if the request asks for them.
    trace: Option<Box<Trace>>,
}

impl Exchange {
    /// How often to check for the result of a probe or of another request.
    const POLL_INTERVAL: Duration = Duration::from_millis(250);

    /// The total wait for the trials of other requests: a working server has responded by then.
    const TRIAL_WAIT: Duration = Duration::from_secs(1);

    /// Starts an exchange.
    pub fn start(request: RequestMeta, state: &mut PoolState, now: Timestamp) -> (Self, Step) {
        let reading = now;
        let now = state.advance(now);
        state.on_request(now);
        let trace = request.trace.then(|| Box::new(Trace::new(now)));
        let mut exchange = Self {
            request,
            started: now,
            finish: None,
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
            retry_reserved: false,
            held_until: None,
            held: false,
            trace,
        };
        let step = match exchange.refusal(state, reading) {
            Some(reply) => {
                exchange.record(now, || TraceEvent::Stopped(StopReason::Refused(reply)));
                exchange.end(Finish::LocalReply(reply), state, now)
            }
            None => exchange.next(state, now),
        };
        (exchange, step)
    }

    /// Returns the request.
    pub const fn request(&self) -> &RequestMeta {
        &self.request
    }

    /// Returns the recorded decisions, if the request asks for them. Later ones are not recorded.
    pub const fn take_trace(&mut self) -> Option<Box<Trace>> {
        self.trace.take()
    }

    /// Sets the cause of the failure that is reported next, for the trace.
    pub fn set_failure_detail(&mut self, detail: Option<&str>) {
        if let Some(trace) = &mut self.trace {
            trace.set_detail(detail.map(str::to_owned));
        }
    }

    fn record(&mut self, now: Timestamp, event: impl FnOnce() -> TraceEvent) {
        if let Some(trace) = &mut self.trace {
            trace.push(event(), now);
        }
    }

    /// Returns the reply to a request that is not sent to any server. `reading` is the time of the
    /// host's clock.
    fn refusal(&self, state: &PoolState, reading: Timestamp) -> Option<LocalReply> {
        if self.request.is_refused() {
            return Some(LocalReply::MethodNotAllowed);
        }
        let service = state.service();
        let rest = service.maintenance_until.map(|end| end.since(reading));
        service.maintenance.then_some(LocalReply::maintenance(rest))
    }

    /// Continues after a [`Step::Sleep`]. While an attempt is in flight, returns [`Step::Await`]
    /// and starts no other one. After the end, returns [`Step::Finish`] again.
    pub fn resume(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let now = state.advance(now);
        match self.finish {
            Some(finish) => Step::Finish(finish),
            None if self.in_flight > 0 => Step::Await,
            None => self.next(state, now),
        }
    }

    /// Reports how an attempt ended. After the end of the exchange, only the server's health
    /// changes, and [`Step::Finish`] is returned again.
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
        if let Some(finish) = self.finish {
            return Step::Finish(finish);
        }
        self.last = Some((result, ruling));
        if let Some(trace) = &mut self.trace {
            trace.on_finished(attempt.info, result, ruling, now);
        }
        self.server_was_failing = state.has_consecutive_failures(attempt.server());
        self.retry_reserved = attempt.retry_reserved.is_some();
        attempt.retry_reserved.into_iter().for_each(|at| state.return_retry(at));
        match ruling.delivery {
            Delivery::Answered => self.stop(StopReason::Answered, state, now),
            _ if self.in_flight > 0 => Step::Await,
            // A held request is sent once per interval.
            _ if ruling.retryable && self.held_until.is_some() => {
                self.hold(state, now).unwrap_or_else(|| self.stop(StopReason::TimedOut, state, now))
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
        attempt.retry_reserved.into_iter().for_each(|at| state.return_retry(at));
        if let Some(trace) = &mut self.trace {
            trace.on_canceled(attempt.info, now);
        }
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

    fn decide(&mut self, state: &mut PoolState, now: Timestamp) -> Step {
        let left = self.deadline.since(now);
        if let Some((last, _)) = self.last.filter(|(_, ruling)| !ruling.retryable) {
            let reason = StopReason::not_retryable(&self.request, last.outcome, &state.service().retry);
            return self.stop(reason, state, now);
        }
        if left.is_zero() {
            return self.stop(StopReason::TimedOut, state, now);
        }
        let attempts_left = self.attempts < state.service().retry.attempts || self.held_until.is_some();
        let selection = if attempts_left { Some(self.select(state, now)) } else { None };
        let Some(Ok(selection)) = selection else {
            self.rejection = selection.and_then(Result::err);
            let reason = self.rejection.map_or(StopReason::AttemptsUsedUp, StopReason::NoServer);
            return self.hold(state, now).unwrap_or_else(|| self.stop(reason, state, now));
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
        // After a timeout servers may be overloaded, and every retry adds load.
        let timed_out = self.last.is_some_and(|(last, _)| last.outcome == Outcome::Failed(Failure::Timeout));
        let charged = delivered && !bounded && (timed_out || !self.server_was_failing || failed_recently || trial);
        // If another request already tests whether the server has recovered, many need not do so at
        // once. After a timeout, waiting would only delay requests to an overloaded server.
        let may_wait = self.request.can_wait && self.held_until.is_none() && !timed_out;
        if charged && trial && (failed_recently || selection.last_resort) && may_wait {
            let wait = self.trial_wait_until.get_or_insert_with(|| now + Self::TRIAL_WAIT).since(now).min(left);
            if !wait.is_zero() {
                return self.sleep(WaitReason::TrialInFlight, Self::POLL_INTERVAL.min(wait), now);
            }
        }
        if charged && std::mem::take(&mut self.retry_reserved) {
            state.charge_retry(now);
        } else if charged && !state.withdraw_retry(now) {
            return self.stop(StopReason::BudgetUsedUp, state, now);
        }
        Step::Attempt(self.attempt(state, selection, false, now))
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
        self.record(now, || TraceEvent::AttemptStarted(info));
        let first_check = state.first_liveness_check(selection.server, selection.last_resort);
        state.on_attempt_started(info, now);
        let mut attempt = Attempt::new(info, first_check.unwrap_or(Duration::MAX));
        attempt.next_check = first_check.map_or(self.deadline, |check| now + check);
        attempt
    }

    fn sleep(&mut self, reason: WaitReason, pause: Duration, now: Timestamp) -> Step {
        if let Some(trace) = &mut self.trace {
            trace.on_wait(reason, pause, now);
        }
        Step::Sleep(pause)
    }

    /// Returns the last step.
    fn stop(&mut self, reason: StopReason, state: &mut PoolState, now: Timestamp) -> Step {
        self.record(now, || TraceEvent::Stopped(reason));
        let finish = self.response(state, now);
        self.end(finish, state, now)
    }

    fn end(&mut self, finish: Finish, state: &mut PoolState, now: Timestamp) -> Step {
        let failed = match finish {
            Finish::LocalReply(LocalReply::Maintenance { .. }) => false,
            Finish::LocalReply(reply) => reply.status().is_server_error(),
            Finish::Response => {
                let impact = self.last.map(|(_, ruling)| ruling.impact);
                matches!(impact, Some(HealthImpact::Failure | HealthImpact::Fatal))
            }
        };
        self.finish = Some(finish);
        state.on_request_finished(failed, self.started, now);
        Step::Finish(finish)
    }

    fn response(&self, state: &PoolState, now: Timestamp) -> Finish {
        let local_reply = || self.rejection.unwrap_or_else(|| state.unavailable(&self.request, now));
        let Some((result, ruling)) = self.last else { return Finish::LocalReply(local_reply()) };
        match (result.outcome, ruling.delivery) {
            // The edge's own response in place of the server's ("tunnel down") is not passed on.
            (_, Delivery::Never) => Finish::LocalReply(local_reply()),
            (Outcome::Status(_), _) => Finish::Response,
            (Outcome::Failed(Failure::InvalidResponse), _) => Finish::LocalReply(LocalReply::InvalidResponse),
            (Outcome::Failed(Failure::ClientAborted), _) => Finish::LocalReply(LocalReply::Incomplete),
            (Outcome::Failed(Failure::Timeout), _) if self.deadline <= now => Finish::LocalReply(LocalReply::TimedOut),
            (Outcome::Failed(_), _) => Finish::LocalReply(local_reply()),
        }
    }
}
