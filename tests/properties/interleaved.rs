//! Concurrent requests over one pool: limits, hedges, uploads, probes and late responses in any
//! order.

mod inputs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use tunnel_balancer_core::{
    Attempt, AttemptInfo, Body, Delivery, EjectionState, Exchange, Failure, Health, HealthImpact, Lease, Outcome,
    PoolState, ProbeResponse, RequestMeta, Server, ServerId, ServerStatus, Service, ServiceState, Step, Timestamp,
    Wait, Writes,
};

use inputs::{Move, moves, service};

/// A request that is not finished.
struct Request {
    meta: RequestMeta,
    exchange: Exchange,
    in_flight: Vec<Attempt>,
    wake: Option<Timestamp>,
    /// The latest end. Unknown during the upload.
    deadline: Option<Timestamp>,
    sent: bool,
    tried: Vec<ServerId>,
    attempts: u32,
    has_slept: bool,
    results: Vec<Outcome>,
}

/// A pool, its requests, and a model of both.
struct World {
    service: Arc<Service>,
    state: PoolState,
    now: Timestamp,
    requests: Vec<Request>,
    /// Attempts that never report their result.
    lost: Vec<AttemptInfo>,
    /// Start of the trial of each server that has one in flight.
    trials: BTreeMap<usize, Timestamp>,
    leases: Vec<Lease>,
    probed_until: BTreeMap<usize, Timestamp>,
    /// Time of the last failure of each server that has not succeeded since.
    failing: BTreeMap<usize, Timestamp>,
    latest_success: BTreeMap<usize, Timestamp>,
    requests_at: Vec<u64>,
    /// Requests whose client disconnected.
    canceled: u64,
    hedges_at: Vec<u64>,
    retries_at: Vec<u64>,
}

type Check = Result<(), TestCaseError>;

impl World {
    fn new(service: Service, seed: u64) -> Self {
        let service = Arc::new(service);
        Self {
            state: PoolState::new(Arc::clone(&service), seed),
            service,
            now: Timestamp::from_millis(1_000_000),
            requests: Vec::new(),
            lost: Vec::new(),
            trials: BTreeMap::new(),
            leases: Vec::new(),
            probed_until: BTreeMap::new(),
            failing: BTreeMap::new(),
            latest_success: BTreeMap::new(),
            requests_at: Vec::new(),
            canceled: 0,
            hedges_at: Vec::new(),
            retries_at: Vec::new(),
        }
    }

    fn step(&mut self, step: Move) -> Check {
        let now = self.now;
        match step {
            Move::Start(meta, sent) => self.start(meta, sent)?,
            Move::Report(request, slot, outcome)
                if self.requests.get(request).is_some_and(|request| slot < request.in_flight.len()) =>
            {
                self.report(request, slot, outcome)?;
            }
            Move::Sent(request) if request < self.requests.len() && !self.requests[request].sent => {
                // The host polls the request once more before its upload has ended.
                let request = &mut self.requests[request];
                for attempt in &mut request.in_flight {
                    request.exchange.wait(&mut self.state, attempt, false, now);
                }
                (request.sent, request.deadline) = (true, Some(now + self.service.retry.timeout));
            }
            Move::Leave(request) if request < self.requests.len() => {
                let mut request = self.requests.swap_remove(request);
                for attempt in request.in_flight.drain(..) {
                    self.trials.retain(|id, at| (*id, *at) != (attempt.server().index(), attempt.info().started));
                    request.exchange.cancel(&mut self.state, attempt, now);
                }
                request.exchange.abandon(&mut self.state, now);
                self.canceled += 1;
            }
            Move::Vanish(request) if request < self.requests.len() => {
                let request = self.requests.swap_remove(request);
                self.lost.extend(request.in_flight.iter().map(Attempt::info));
            }
            Move::Drive => self.drive()?,
            Move::Lease => {
                while let Some(lease) = self.state.next_probe(now) {
                    let (server, timeout) =
                        (lease.server().index(), self.service.health_check.as_ref().unwrap().timeout);
                    let until = self.probed_until.insert(server, now + timeout);
                    prop_assert!(until.is_none_or(|until| until <= now), "two probes of one server");
                    self.leases.push(lease);
                }
            }
            Move::Probe(lease, code) if lease < self.leases.len() => {
                let lease = self.leases.swap_remove(lease);
                let server = lease.server().index();
                self.probed_until.remove(&server);
                if code == 200 {
                    self.failing.remove(&server);
                }
                let response = ProbeResponse::new(StatusCode::from_u16(code).unwrap());
                self.state.on_probe(lease, &Ok(response), now);
            }
            Move::LoseProbe(lease) if lease < self.leases.len() => drop(self.leases.swap_remove(lease)),
            Move::Abort(server) => self.state.on_response_aborted(ServerId::new(server).unwrap(), now),
            Move::ReleaseFailback => self.state.release_failback(now),
            Move::Wait(millis) => self.now = now + Duration::from_millis(millis),
            _ => {}
        }
        self.check()
    }

    fn start(&mut self, meta: RequestMeta, sent: bool) -> Check {
        let before = self.state.clone();
        self.requests_at.push(self.now.as_millis() / 1000);
        let (exchange, step) = Exchange::start(meta.clone(), &mut self.state, self.now);
        self.requests.push(Request {
            meta,
            exchange,
            in_flight: Vec::new(),
            wake: None,
            deadline: sent.then(|| self.now + self.service.retry.timeout),
            sent,
            tried: Vec::new(),
            attempts: 0,
            has_slept: false,
            results: Vec::new(),
        });
        self.follow(self.requests.len() - 1, step, before)
    }

    fn report(&mut self, index: usize, slot: usize, outcome: Outcome) -> Check {
        let before = self.state.clone();
        let request = &mut self.requests[index];
        let attempt = request.in_flight.swap_remove(slot);
        let info = attempt.info();
        let (server, ruling) = (info.server.index(), request.meta.rule(outcome, &self.service.retry));
        let success = self.latest_success.entry(server).or_default();
        match ruling.impact {
            // After a timeout the server may be overloaded only.
            HealthImpact::Failure | HealthImpact::Fatal
                if outcome != Outcome::Failed(Failure::Timeout) && info.started >= *success =>
            {
                self.failing.insert(server, self.now);
            }
            HealthImpact::Success => {
                *success = (*success).max(info.started);
                self.failing.remove(&server);
            }
            _ => {}
        }
        self.trials.retain(|id, at| (*id, *at) != (server, info.started));
        request.results.push(outcome);
        let step = request.exchange.report(&mut self.state, attempt, outcome, self.now);
        self.follow(index, step, before)
    }

    /// Executes a step.
    fn follow(&mut self, index: usize, step: Step, before: PoolState) -> Check {
        let now = self.now;
        match step {
            Step::Attempt(attempt) => return self.attempt(index, attempt, before),
            Step::Sleep(pause) => {
                let request = &mut self.requests[index];
                prop_assert!(request.in_flight.is_empty() && !pause.is_zero());
                prop_assert!(request.deadline.is_none_or(|deadline| now + pause <= deadline), "sleeps too long");
                (request.wake, request.has_slept) = (Some(now + pause), true);
            }
            Step::Await => prop_assert!(!self.requests[index].in_flight.is_empty(), "nothing to wait for"),
            Step::Finish(_) => {
                let mut request = self.requests.swap_remove(index);
                for attempt in request.in_flight.drain(..) {
                    request.exchange.cancel(&mut self.state, attempt, now);
                }
            }
        }
        Ok(())
    }

    /// Checks an attempt that starts. `before` is the state before its selection.
    fn attempt(&mut self, index: usize, attempt: Attempt, mut before: PoolState) -> Check {
        let (info, now, retry) = (attempt.info(), self.now, &self.service.retry);
        let request = &mut self.requests[index];
        let held = request.has_slept && retry.hold.is_some();
        let is_idempotent = request.meta.is_safe() || request.meta.method.is_idempotent();
        for outcome in &request.results {
            let delivery = outcome.classify().delivery;
            prop_assert!(
                delivery == Delivery::Never || is_idempotent && delivery == Delivery::Unknown,
                "may run twice"
            );
            let is_untouched =
                *outcome == Outcome::Failed(Failure::Connect) || *outcome == Outcome::Failed(Failure::Local);
            prop_assert!(request.meta.body == Body::Replayable || is_untouched, "a streamed body is sent twice");
        }
        request.attempts += 1;
        prop_assert!(held || request.attempts <= retry.attempts, "{} attempts", request.attempts);
        prop_assert!(held || !request.tried.contains(&info.server), "tried twice");

        let status = before.status(now).servers;
        let is_available = |id: ServerId| {
            let server = &status[id.index()];
            server.health != Health::Unhealthy
                && server.ejection == EjectionState::Active
                && !server.stalled
                && !server.awaiting_failback
        };
        let write_to_another =
            |id: ServerId| self.service.writes == Writes::PrimaryOnly && !request.meta.is_safe() && id.index() != 0;
        let server = self.service.server(info.server).unwrap();
        let is_own = request.meta.affinity_server == Some(info.server);
        let accepts = |server: &Server| server.enabled && !server.drain && server.weight > 0;
        prop_assert!(accepts(server) || (is_own && server.enabled), "the settings exclude the server");
        prop_assert!(!write_to_another(info.server), "a write is sent to a replica");
        if !is_available(info.server) && !info.trial && !is_own {
            let passed_over = self.service.servers().iter().enumerate().find(|(other, server)| {
                let (id, in_flight) = (ServerId::new(*other).unwrap(), status[*other].in_flight);
                let is_free = server.max_requests.is_none_or(|limit| in_flight < limit);
                is_available(id) && accepts(server) && is_free && !write_to_another(id) && !request.tried.contains(&id)
            });
            prop_assert!(passed_over.is_none() || held, "{passed_over:?} for {server:?}");
        }
        if info.hedge {
            prop_assert!(request.meta.is_safe() && request.meta.body == Body::Replayable && !request.meta.upgrade);
            prop_assert!(request.meta.affinity_server.is_none() && request.in_flight.len() == 1);
            prop_assert!(is_available(info.server) && !info.trial && !info.last_resort, "hedged to {info:?}");
            self.hedges_at.push(now.as_millis() / 1000);
        } else {
            prop_assert!(request.in_flight.is_empty());
            let is_delivered = request.results.last().is_some_and(|last| last.classify().delivery != Delivery::Never);
            let failed_at = self.failing.get(&info.server.index());
            let is_failing = failed_at.is_some_and(|at| now.since(*at) <= Duration::from_secs(10));
            if is_delivered && is_failing && retry.hold.is_none() {
                self.retries_at.push(now.as_millis() / 1000);
            }
        }
        if info.trial {
            let trial_timeout = retry.liveness_check_after.map_or(Duration::from_secs(10), |after| after * 2);
            let other = self.trials.insert(info.server.index(), now);
            let is_lost = other.is_none_or(|other| now.since(other) >= trial_timeout.min(retry.timeout));
            prop_assert!(is_lost, "a second trial");
        }
        request.tried.push(info.server);
        request.in_flight.push(attempt);
        self.check_budgets()
    }

    fn check_budgets(&self) -> Check {
        let (second, budget) = (self.now.as_millis() / 1000, &self.service.retry.budget);
        let recent = |times: &[u64]| times.iter().filter(|at| *at + 10 > second).count() as u64;
        let share = recent(&self.requests_at) * u64::from(budget.percent) / 100;
        let allowed = share.max(u64::from(budget.min_per_second) * 10);
        // The share may shrink later, so only the current second is checked.
        prop_assert!(self.hedges_at.last() != Some(&second) || recent(&self.hedges_at) <= allowed, "too many hedges");
        prop_assert!(
            self.retries_at.last() != Some(&second) || recent(&self.retries_at) <= allowed,
            "too many retries"
        );
        Ok(())
    }

    /// Continues all requests that are due, until nothing changes.
    fn drive(&mut self) -> Check {
        let now = self.now;
        let mut index = 0;
        'requests: while index < self.requests.len() {
            let request = &mut self.requests[index];
            if request.wake.is_some_and(|wake| wake <= now) {
                request.wake = None;
                if self.service.retry.hold.is_some() {
                    request.tried.clear();
                }
                let before = self.state.clone();
                let step = request.exchange.resume(&mut self.state, now);
                self.follow(index, step, before)?;
                continue;
            }
            for slot in 0..request.in_flight.len() {
                let attempt = &mut request.in_flight[slot];
                match request.exchange.wait(&mut self.state, attempt, request.sent, now) {
                    Wait::Sleep(time) | Wait::Probe(time) => {
                        prop_assert!(!time.is_zero(), "sleeps for zero time");
                        prop_assert!(request.deadline.is_none_or(|deadline| now + time <= deadline), "waits too long");
                    }
                    Wait::GiveUp(failure) => {
                        self.report(index, slot, Outcome::Failed(failure))?;
                        continue 'requests;
                    }
                }
            }
            if let [attempt] = &request.in_flight[..] {
                let before = self.state.clone();
                if let Some(hedge) = request.exchange.hedge(&mut self.state, attempt, now) {
                    self.attempt(index, hedge, before)?;
                    continue;
                }
            }
            prop_assert!(request.deadline.is_none_or(|deadline| now < deadline), "continues after its deadline");
            index += 1;
        }
        Ok(())
    }

    /// Returns the state of the service that follows from those of its servers.
    fn service_state(&self, status: &[ServerStatus]) -> ServiceState {
        let servers = self.service.servers().iter().zip(status).zip(self.service.all().iter());
        let servers: Vec<_> = servers.filter(|((server, _), _)| server.enabled).collect();
        let takes_clients = |server: &Server, id| {
            !server.drain && server.weight > 0 && self.service.forced.is_none_or(|forced| forced == id)
        };
        if self.service.maintenance {
            ServiceState::Maintenance
        } else if !servers.iter().any(|((server, it), id)| takes_clients(server, *id) && !it.is_unavailable()) {
            ServiceState::Down
        } else if servers.iter().any(|((_, status), _)| status.is_unavailable()) {
            ServiceState::Degraded
        } else {
            ServiceState::Up
        }
    }

    /// Checks the invariants.
    fn check(&mut self) -> Check {
        let (now, timeout) = (self.now, self.service.retry.timeout);
        let status = self.state.status(now);
        prop_assert_eq!(status.requests.total, self.requests_at.len() as u64);
        prop_assert_eq!(status.requests.canceled, self.canceled);
        prop_assert_eq!(status.requests.hedges, self.hedges_at.len() as u64);
        prop_assert_eq!(status.state, self.service_state(&status.servers));
        for (index, status) in status.servers.iter().enumerate() {
            let known = self.requests.iter().flat_map(|request| &request.in_flight).map(Attempt::info);
            let ages: Vec<_> = known
                .chain(self.lost.iter().copied())
                .filter(|info| info.server.index() == index)
                .map(|info| now.since(info.started))
                .collect();
            // Attempts expire that take longer than the timeout of a request.
            let recent = ages.iter().filter(|age| **age <= timeout).count();
            prop_assert!((recent..=ages.len()).contains(&(status.in_flight as usize)), "{status:?}: {ages:?}");
            let limit = self.service.servers()[index].max_requests.unwrap_or(u32::MAX);
            prop_assert!(recent <= limit as usize, "{recent} requests at a time");
            if !matches!(status.ejection, EjectionState::Probation) {
                self.trials.remove(&index);
            }
        }
        for request in &self.requests {
            let tried = request.tried.iter().copied().collect();
            crate::check_standings(&self.state, tried, &request.meta, now)?;
        }
        prop_assert!(self.requests.iter().all(|request| request.in_flight.len() <= 2));
        prop_assert!(self.requests.iter().all(|request| !request.in_flight.is_empty() || request.wake.is_some()));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn interleaved_requests_follow_the_rules(service in service(), seed in any::<u64>(), moves in moves()) {
        let mut world = World::new(service, seed);
        for step in moves {
            world.step(step)?;
        }
        // Uploads end, then requests.
        (0..world.requests.len()).try_for_each(|request| world.step(Move::Sent(request)))?;
        world.now = world.now + world.service.retry.timeout;
        world.drive()?;
        prop_assert!(world.requests.is_empty(), "a request continues after its deadline");
        world.lost.clear();
        let later = world.now + Duration::from_secs(100);
        prop_assert!(world.state.status(later).servers.iter().all(|status| status.in_flight == 0));
    }
}
