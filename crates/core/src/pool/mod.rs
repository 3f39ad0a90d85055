//! The servers of one service with their live state.
//!
//! [`PoolState`] is a plain value: observations and the time go in, decisions come out. [`Pool`]
//! shares one between requests behind a lock that is reached through a closure only, so that no
//! guard can live across an `await`.
//!
//! Everything that happens to a server is a [`Signal`] that passes [`PoolState::observe`], where it
//! is counted, reported and indexed once. See `server_state.rs` for the state itself and `pick.rs`
//! for the selection.

mod counters;
mod ejection;
mod event;
mod health;
mod index;
mod last_failure;
mod latency_histogram;
mod minutes;
mod overrides;
mod pick;
mod probe_schedule;
mod probing;
mod reload;
mod requests;
mod server_state;
mod shared;
mod signals;
mod snapshot;
mod stall;
mod standing;
mod status;

use std::sync::Arc;
use std::time::Duration;

use self::event::EventLog;
use self::index::ServerIndex;
use self::requests::Requests;
use self::server_state::{Context, EjectionPermit, ServerState, Signal};
use self::status::ServiceStateChange;
use crate::attempt::{AttemptInfo, AttemptResult};
use crate::classify::HealthImpact;
use crate::retry::{Budget, HoldQueue};
use crate::rng::Rng;
use crate::select::Selector;
use crate::server_set::{ServerId, ServerSet};
use crate::service::Service;
use crate::time::{Monotonic, Timestamp};

pub use self::counters::{Counters, RequestCounters};
pub use self::ejection::{Cause, EjectionState};
pub use self::event::{Event, Transition};
pub use self::health::Health;
pub use self::last_failure::FailureStatus;
pub use self::latency_histogram::{LatencyCounts, Percentiles};
pub use self::minutes::Minute;
pub use self::probe_schedule::Lease;
pub(crate) use self::probing::Liveness;
pub use self::server_state::KnowledgeSource;
pub use self::shared::Pool;
pub use self::snapshot::{ServerSnapshot, Snapshot};
pub use self::standing::Standing;
pub use self::status::{PoolStatus, ProbeStatus, ServerStatus, ServiceState};

/// The state of a service's servers, and every decision that depends on it.
#[derive(Clone, Debug)]
pub struct PoolState {
    service: Arc<Service>,
    /// One per server, in the order of the service's list.
    servers: Vec<ServerState>,
    selector: Selector,
    index: ServerIndex,
    time: Monotonic,
    rng: Rng,
    budget: Budget,
    hold: HoldQueue,
    requests: Requests,
    state: ServiceStateChange,
    /// When no server responded last: see [`PoolState::is_overloaded`].
    all_silent_at: Option<Timestamp>,
    next_lease: u64,
    events: EventLog,
    /// Where the servers are seen from: see [`Snapshot`].
    scope: String,
}

impl PoolState {
    /// Creates the initial state.
    pub fn new(service: Arc<Service>, seed: u64) -> Self {
        let index = ServerIndex::new(&service);
        Self {
            servers: service.servers().iter().map(|_| ServerState::default()).collect(),
            selector: Selector::new(service.servers(), service.retry.timeout),
            state: ServiceStateChange::new(&service, &index),
            index,
            service,
            time: Monotonic::default(),
            rng: Rng::new(seed),
            budget: Budget::default(),
            hold: HoldQueue::default(),
            requests: Requests::default(),
            all_silent_at: None,
            next_lease: 0,
            events: EventLog::default(),
            scope: String::new(),
        }
    }

    /// Returns the configuration, with the changes at run time.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns a server's state by its probes; `Unknown` for an id of another service.
    pub fn health(&self, id: ServerId) -> Health {
        self.servers.get(id.index()).map(|server| server.health().health()).unwrap_or_default()
    }

    /// Returns a server's state by its traffic; `Active` for an id of another service.
    pub fn ejection_state(&self, id: ServerId, now: Timestamp) -> EjectionState {
        let now = self.time.at(now);
        self.servers.get(id.index()).map_or(EjectionState::Active, |server| server.ejection().state(now))
    }

    /// Returns whether a server currently responds to neither requests nor probes; `false` for an
    /// id of another service.
    pub fn is_stalled(&self, id: ServerId, now: Timestamp) -> bool {
        let now = self.time.at(now);
        self.servers.get(id.index()).is_some_and(|server| server.is_stalled(&self.service, id, now))
    }

    /// Lets traffic return to all servers that are held back by [`Failback`](crate::Failback).
    pub fn release_failback(&mut self, now: Timestamp) {
        let now = self.advance(now);
        for id in self.service.all().iter() {
            self.observe(id, Signal::Elapsed, now);
            self.observe(id, Signal::FailbackReleased, now);
        }
    }

    /// Returns the changes since the last call, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }

    /// Records that a server aborted or stalled a response after its headers had been passed on.
    /// Nothing can be sent again then, but it counts as one failure, and the server is probed.
    ///
    /// Report only what the server did: a client that disconnects also aborts responses, and so
    /// does one that reads them so slowly that the server aborts them.
    pub fn on_response_aborted(&mut self, id: ServerId, now: Timestamp) {
        let now = self.advance(now);
        self.observe(id, Signal::ResponseAborted, now);
    }

    /// Returns whether a response body that had its last byte at `last_byte` should be aborted,
    /// because its server has since responded to neither requests nor probes, for at least
    /// [`HUNG_RESPONSE_GRACE`](Self::HUNG_RESPONSE_GRACE). A resumable download can then continue
    /// elsewhere.
    pub fn is_response_lost(&self, id: ServerId, last_byte: Timestamp, now: Timestamp) -> bool {
        let now = self.time.at(now);
        let Some(server) = self.servers.get(id.index()) else { return false };
        server.silent_since().any(|since| since >= last_byte && now.since(since) >= Self::HUNG_RESPONSE_GRACE)
    }

    /// How long a request that cannot leave a hung server, or a response body from it, is waited
    /// for.
    pub const HUNG_RESPONSE_GRACE: Duration = Duration::from_secs(10);

    /// Returns the time to work with when the host's clock shows `reading`, and advances to it.
    pub(crate) fn advance(&mut self, reading: Timestamp) -> Timestamp {
        self.time.advance(reading)
    }

    /// Sets the seed of all random numbers from now on.
    pub(crate) const fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// Returns the requests that wait for a server.
    pub(crate) const fn hold(&mut self) -> &mut HoldQueue {
        &mut self.hold
    }

    /// Returns a random time up to `limit`, in whole milliseconds from 1.
    pub(crate) fn random_up_to(&mut self, limit: Duration) -> Duration {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(1 + self.rng.below(millis))
    }

    /// Records that an attempt starts.
    pub(crate) fn on_attempt_started(&mut self, info: AttemptInfo, now: Timestamp) {
        self.selector.on_started(info.server, now);
        self.requests.on_attempt(info);
        self.observe(info.server, Signal::AttemptStarted(info), now);
    }

    /// Records an attempt that was canceled, because the client disconnected or another attempt
    /// `was_faster`. That is no failure, but the server is at least this slow.
    pub(crate) fn on_attempt_canceled(&mut self, info: AttemptInfo, was_faster: bool, now: Timestamp) {
        self.selector.on_finished(info.server, info.started, now);
        self.selector.on_no_response(info.server, now.since(info.started), now);
        self.observe(info.server, Signal::AttemptCanceled { info, was_faster }, now);
    }

    /// Records the result of an attempt and its health impact.
    pub(crate) fn on_attempt_finished(
        &mut self,
        info: AttemptInfo,
        result: AttemptResult,
        impact: HealthImpact,
        now: Timestamp,
    ) {
        let (id, took) = (info.server, now.since(info.started));
        self.selector.on_finished(id, info.started, now);
        match impact {
            HealthImpact::Neutral => {}
            // An error of the application is passed on and has no health impact, but it is no sign
            // of speed: a server that responds with 500 at once must not attract all traffic.
            HealthImpact::Success if !result.outcome.is_server_error() => self.selector.on_response(id, took, now),
            HealthImpact::Success | HealthImpact::Failure | HealthImpact::Fatal => {
                self.selector.on_failure(id, took, now);
            }
        }
        self.observe(id, Signal::AttemptFinished(info, result, impact), now);
    }

    /// Returns whether a server failed more than once in a row.
    pub(crate) fn has_consecutive_failures(&self, id: ServerId) -> bool {
        self.servers.get(id.index()).is_some_and(ServerState::has_consecutive_failures)
    }

    /// Returns whether a server failed recently and has not succeeded since.
    pub(crate) fn failed_recently(&self, id: ServerId, now: Timestamp) -> bool {
        self.servers.get(id.index()).is_some_and(|server| server.failed_recently(now))
    }

    /// Returns whether another request shows at this moment whether a failing server still fails.
    pub(crate) fn has_trial_in_flight(&self, id: ServerId, now: Timestamp) -> bool {
        self.servers.get(id.index()).is_some_and(|server| server.has_trial_in_flight(now))
    }

    /// Returns whether the newest signal from a server is a failure.
    pub(crate) fn is_failing(&self, id: ServerId) -> bool {
        self.servers.get(id.index()).is_some_and(ServerState::is_failing)
    }

    /// Returns the failing servers that were tried within `interval`, or are being tried.
    pub(crate) fn being_tried(&self, interval: Duration, now: Timestamp) -> ServerSet {
        let is_tried =
            |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.is_being_tried(interval, now));
        self.index.enabled.iter().filter(is_tried).collect()
    }

    /// Returns how long a client should wait before it tries again when no server could serve it:
    /// until the first ejection ends.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Duration {
        let until = self.servers.iter().filter_map(|server| match server.ejection().state(now) {
            EjectionState::Ejected(until) => Some(until.since(now)),
            EjectionState::Active | EjectionState::Probation => None,
        });
        until.min().unwrap_or_default()
    }

    fn is_awaiting_failback(&self, id: ServerId) -> bool {
        let now = self.time.last();
        self.servers.get(id.index()).is_some_and(|server| server.is_awaiting_failback(&self.service, now))
    }

    /// Records a signal from a server. Every change of a server's state passes here.
    fn observe(&mut self, id: ServerId, signal: Signal<'_>, now: Timestamp) {
        // Only the intervals of probes are random, so only their results use a random number.
        let jitter = match signal {
            Signal::ProbeFinished(..) | Signal::HealthMerged(_) => self.rng.jitter(Self::PROBE_JITTER),
            _ => 1.0,
        };
        let permit = match signal {
            // Most signals are successes, which eject no server.
            Signal::AttemptStarted(_) | Signal::AttemptFinished(_, _, HealthImpact::Success) => EjectionPermit::Denied,
            _ => self.ejection_permit(id),
        };
        let Some(server) = self.servers.get_mut(id.index()) else { return };
        let transitions = server.observe(signal, Context { service: &self.service, id, permit, jitter, now });
        let changed_at = server.since().unwrap_or(now);
        self.index.reindex(id, server);
        self.state.track(&self.service, &self.index, changed_at);
        for change in transitions.into_iter().flatten() {
            let at = self.time.reading_at(server.transition_time(change, &self.service, now));
            self.events.push(Event { at, server: id, change });
        }
    }

    /// Returns whether the pool can do without a server.
    fn ejection_permit(&self, id: ServerId) -> EjectionPermit {
        let server = ServerSet::single(id);
        let percent = usize::try_from(self.service.ejection.max_percent).unwrap_or(usize::MAX);
        let most = (self.servers.len().saturating_mul(percent) / 100).max(1);
        if self.index.ejected.difference(server).len() >= most {
            EjectionPermit::Denied
        } else if self.index.accepting.intersection(self.index.in_traffic).difference(server).is_empty() {
            EjectionPermit::IfProbeFails
        } else {
            EjectionPermit::Granted
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::classify::Failure;
    use crate::exchange::{Exchange, Step};
    use crate::retry::RequestMeta;
    use crate::service::ProbeResponse;
    use crate::service::Server;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Runs every probe that is due at `now`. Those of `silent` end at `until`, without a response.
    fn probe(state: &mut PoolState, silent: Option<ServerId>, now: Timestamp, until: Timestamp) {
        let leases: Vec<_> = std::iter::from_fn(|| state.next_probe(now)).collect();
        let (late, prompt): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| Some(lease.server()) == silent);
        let passed = Ok(ProbeResponse::new(http::StatusCode::OK));
        prompt.into_iter().for_each(|lease| state.on_probe(lease, &passed, now));
        late.into_iter().for_each(|lease| state.on_probe(lease, &Err(Failure::Timeout), until));
    }

    #[test]
    fn a_response_is_lost_if_its_server_responds_to_neither_requests_nor_probes() {
        let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
        let mut state = PoolState::new(Arc::new(Service::new("app.example", servers.to_vec()).unwrap()), 7);
        let (a, get) = (ServerId::new(0).unwrap(), RequestMeta::new(Method::GET));
        probe(&mut state, None, at(0), at(0));
        let is_lost = |state: &PoolState, now| state.is_response_lost(a, at(2_000), at(now));
        probe(&mut state, Some(a), at(40_000), at(45_000));
        assert!(!is_lost(&state, 60_000), "one probe alone may have been lost");
        let (mut exchange, Step::Attempt(mut attempt)) = Exchange::start(get, &mut state, at(45_000)) else {
            panic!("no attempt")
        };
        exchange.wait(&mut state, &mut attempt, true, at(46_000));
        assert!(!is_lost(&state, 49_999) && is_lost(&state, 50_000), "a request is overdue, too");
        assert!(!state.is_response_lost(a, at(40_001), at(60_000)), "a byte has arrived since");
        probe(&mut state, None, at(58_000), at(58_000));
        assert!(!is_lost(&state, 60_000), "a probe got a response");
    }
}
