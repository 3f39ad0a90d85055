//! Selection after a random history of a pool.
//!
//! No available server is passed over for an unavailable one, and the settings of the operator
//! hold.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use tunnel_balancer_core::{
    EjectionState, Exchange, Failback, Health, Outcome, PoolState, ProbeResponse, RequestMeta, Server, ServerId,
    ServerSet, Service, Step, Timestamp, TraceEvent, Writes,
};

/// One request and its circumstances, on a clock that may leap.
#[derive(Clone, Debug)]
struct Event {
    reading: u64,
    /// The status of each server for requests.
    statuses: Vec<u16>,
    /// The status of each server for probes.
    probes: Vec<u16>,
    method: Method,
    key: u64,
    sticky: Option<usize>,
}

fn event() -> impl Strategy<Value = Event> {
    let status = || prop::sample::select(vec![200_u16, 200, 200, 404, 500, 502, 503, 530]);
    let reading = prop_oneof![8 => 0..600_000_u64, 1 => any::<u64>()];
    let method = prop::sample::select(vec![Method::GET, Method::PUT, Method::POST]);
    let (statuses, probes) = (prop::collection::vec(status(), 5), prop::collection::vec(status(), 5));
    (reading, statuses, probes, method, any::<u64>(), prop::option::of(0..5_usize)).prop_map(
        |(reading, statuses, probes, method, key, sticky)| Event { reading, statuses, probes, method, key, sticky },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let policy = prop::sample::select(crate::policies());
    let failback =
        prop::sample::select(vec![Failback::Auto, Failback::After(Duration::from_secs(60)), Failback::Manual]);
    let server = (0..4_u32, prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.9));
    let slow_start = prop::option::of(Just(Duration::from_secs(30)));
    (policy, failback, slow_start, prop::collection::vec(server, 5), prop::bool::weighted(0.2), 1..=100_u32).prop_map(
        |(policy, failback, slow_start, servers, primary_only, max_percent)| {
            let servers = servers.into_iter().enumerate().map(|(n, (weight, backup, drain, enabled))| {
                let mut server = Server::new(format!("s{n}.example").parse().unwrap());
                (server.weight, server.backup, server.drain, server.enabled) = (weight, backup, drain, enabled);
                server
            });
            let mut service = Service::new("app.example", servers.collect()).unwrap();
            (service.policy, service.failback, service.slow_start) = (policy, failback, slow_start);
            service.ejection.max_percent = max_percent;
            if primary_only {
                service.writes = Writes::PrimaryOnly;
            }
            service
        },
    )
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

/// Runs a request and returns the servers of its attempts, which its trace has to name in order.
fn run_traced(state: &mut PoolState, request: RequestMeta, statuses: &[u16], now: Timestamp) -> Vec<ServerId> {
    let (mut exchange, mut step) = Exchange::start(request, state, now);
    let mut tried = Vec::new();
    while let Step::Attempt(attempt) = step {
        tried.push(attempt.server());
        let outcome = Outcome::Status(status(statuses[attempt.server().index()]));
        step = exchange.report(state, attempt, outcome, now);
    }
    let trace = exchange.take_trace().unwrap();
    let started = trace.steps().iter().filter_map(|step| match &step.event {
        TraceEvent::AttemptStarted(info) => Some(info.server),
        _ => None,
    });
    assert!(started.eq(tried.iter().copied()), "{trace:?}");
    let has_ended = matches!(trace.steps().last().map(|step| &step.event), Some(TraceEvent::Stopped(_)));
    assert_eq!(has_ended, matches!(step, Step::Finish(_)), "{trace:?}");
    tried
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_available_server_is_passed_over(
        service in service(),
        seed in any::<u64>(),
        history in prop::collection::vec(event(), 1..40),
    ) {
        let primary_only = service.writes == Writes::PrimaryOnly;
        let mut state = PoolState::new(Arc::new(service.clone()), seed);
        let mut other = PoolState::new(Arc::new(service.clone()), !seed);
        for event in history {
            let now = Timestamp::from_millis(event.reading);
            while let Some(lease) = state.next_probe(now) {
                prop_assert!(service.servers()[lease.server().index()].enabled);
                let response = ProbeResponse::new(status(event.probes[lease.server().index()]));
                state.on_probe(lease, &Ok(response), now);
            }
            let sticky = event.sticky.and_then(ServerId::new);
            let meta = RequestMeta::new(event.method.clone());
            let request = RequestMeta { hash_key: event.key, affinity_server: sticky, ..meta };
            crate::check_standings(&state, ServerSet::EMPTY, &request, now)?;
            let mut traced = state.clone();
            let request_traced = RequestMeta { trace: true, ..request.clone() };
            let traced_servers = run_traced(&mut traced, request_traced, &event.statuses, now);
            let mut before = state.clone();
            let (mut exchange, mut step) = Exchange::start(request, &mut state, now);
            let mut tried = Vec::new();
            while let Step::Attempt(attempt) = step {
                let server = attempt.server();
                let selected = &service.servers()[server.index()];
                let own = sticky == Some(server);
                prop_assert!(selected.enabled && (own || (!selected.drain && selected.weight > 0)), "{selected:?}");
                let write = !event.method.is_safe();
                prop_assert!(!(primary_only && write) || server.index() == 0, "a write is sent to a replica");

                let is_available = |state: &PoolState, id| {
                    let is_active = state.ejection_state(id, now) == EjectionState::Active;
                    is_active && state.health(id) != Health::Unhealthy
                };
                if !attempt.info().trial && !is_available(&before, server) {
                    let passed_over = (0..5).filter_map(ServerId::new).find(|id| {
                        let server = &service.servers()[id.index()];
                        let accepts = server.enabled && !server.drain && server.weight > 0;
                        accepts && !(primary_only && write) && !tried.contains(id) && is_available(&before, *id)
                    });
                    prop_assert_eq!(passed_over, None, "for {:?}", server);
                }
                tried.push(server);
                before = state.clone();
                let outcome = Outcome::Status(status(event.statuses[server.index()]));
                step = exchange.report(&mut state, attempt, outcome, now);
            }
            prop_assert_eq!(&tried, &traced_servers, "a trace changes no decision");
            prop_assert_eq!(state.status(now), traced.status(now));
            state.drain_events();
            // The facts of another isolate may be older, newer, or contradict the local state.
            other.merge(&state.export("here"), now);
            while let Some(lease) = other.next_probe(now) {
                let response = ProbeResponse::new(status(event.statuses[lease.server().index()]));
                other.on_probe(lease, &Ok(response), now);
            }
            state.merge(&other.export("there"), now);
        }
    }
}
