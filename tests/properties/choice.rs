//! Whatever has happened to a pool: nobody usable is passed over for somebody who is not, and what
//! the operator decided holds.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use tunnel_balancer_core::{
    EjectionState, Exchange, Failback, HashOn, Health, Outcome, Policy, PoolState, ProbeResponse, RequestMeta, Server,
    ServerId, Service, Step, Timestamp, Writes,
};

/// One thing that happens, on a clock that may jump.
#[derive(Clone, Debug)]
struct Happening {
    reading: u64,
    /// What each server answers to requests and to probes.
    statuses: Vec<u16>,
    probes: Vec<u16>,
    method: Method,
    key: u64,
    sticky: Option<usize>,
}

fn happening() -> impl Strategy<Value = Happening> {
    let status = || prop::sample::select(vec![200_u16, 200, 200, 404, 500, 502, 503, 530]);
    let reading = prop_oneof![8 => 0..600_000_u64, 1 => any::<u64>()];
    let method = prop::sample::select(vec![Method::GET, Method::PUT, Method::POST]);
    let (statuses, probes) = (prop::collection::vec(status(), 5), prop::collection::vec(status(), 5));
    (reading, statuses, probes, method, any::<u64>(), prop::option::of(0..5_usize)).prop_map(
        |(reading, statuses, probes, method, key, sticky)| Happening { reading, statuses, probes, method, key, sticky },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let policy = prop::sample::select(vec![
        Policy::Failover,
        Policy::RoundRobin,
        Policy::Random,
        Policy::LeastRequests,
        Policy::Latency,
        Policy::Hash(HashOn::ClientIp),
    ]);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nobody_usable_is_passed_over_and_decisions_hold(
        service in service(),
        seed in any::<u64>(),
        history in prop::collection::vec(happening(), 1..40),
    ) {
        let primary_only = service.writes == Writes::PrimaryOnly;
        let mut state = PoolState::new(Arc::new(service.clone()), seed);
        let mut other = PoolState::new(Arc::new(service.clone()), !seed);
        for happening in history {
            let now = Timestamp::from_millis(happening.reading);
            while let Some(lease) = state.next_probe(now) {
                prop_assert!(service.servers()[lease.server().index()].enabled);
                let answer = ProbeResponse::new(status(happening.probes[lease.server().index()]));
                state.on_probe(lease, &Ok(answer), now);
            }
            let sticky = happening.sticky.and_then(ServerId::new);
            let request = RequestMeta { hash_key: happening.key, affinity_server: sticky, ..RequestMeta::new(happening.method.clone()) };
            let mut before = state.clone();
            let (mut exchange, mut step) = Exchange::start(request, &mut state, now);
            let mut asked = Vec::new();
            while let Step::Attempt(attempt) = step {
                let server = attempt.server();
                let chosen = &service.servers()[server.index()];
                let own = sticky == Some(server);
                prop_assert!(chosen.enabled && (own || (!chosen.drain && chosen.weight > 0)), "{chosen:?}");
                let write = !happening.method.is_safe();
                prop_assert!(!(primary_only && write) || server.index() == 0, "a write for a replica");

                let well = |state: &PoolState, id| state.health(id) != Health::Unhealthy && state.ejection_state(id, now) == EjectionState::Active;
                if !attempt.info().trial && !well(&before, server) {
                    let passed_over = (0..5).filter_map(ServerId::new).find(|id| {
                        let server = &service.servers()[id.index()];
                        let open = server.enabled && !server.drain && server.weight > 0;
                        open && !(primary_only && write) && !asked.contains(id) && well(&before, *id)
                    });
                    prop_assert_eq!(passed_over, None, "for {:?}", server);
                }
                asked.push(server);
                before = state.clone();
                let outcome = Outcome::Status(status(happening.statuses[server.index()]));
                step = exchange.report(&mut state, attempt, outcome, now);
            }
            state.status(now);
            state.drain_events();
            // Another isolate has its own story; what it says may be older, newer, or of a server
            // that is well here.
            other.merge(&state.export("here"), now);
            while let Some(lease) = other.next_probe(now) {
                let answer = ProbeResponse::new(status(happening.statuses[lease.server().index()]));
                other.on_probe(lease, &Ok(answer), now);
            }
            state.merge(&other.export("there"), now);
        }
    }
}
