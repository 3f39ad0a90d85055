//! Random services, and schedules of their requests.

use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use tunnel_balancer_core::{Body, Failback, Failure, Outcome, Policy, RequestMeta, Server, ServerId, Service, Writes};

#[derive(Clone, Debug)]
pub(super) enum Move {
    Start(RequestMeta, bool),
    /// The server of an attempt responds, or the attempt fails.
    Report(usize, usize, Outcome),
    /// The upload of a request ends.
    Sent(usize),
    /// A client closes its connection.
    Leave(usize),
    /// A request never reports: its host was stopped.
    Vanish(usize),
    /// All requests that are due continue.
    Drive,
    Lease,
    Probe(usize, u16),
    LoseProbe(usize),
    Abort(usize),
    ReleaseFailback,
    Wait(u64),
}

fn request() -> impl Strategy<Value = RequestMeta> {
    let method = prop::sample::select(vec![Method::GET, Method::GET, Method::PUT, Method::POST]);
    let body = prop_oneof![4 => Just(Body::Replayable), 1 => Just(Body::Once)];
    let affinity = prop::option::weighted(0.2, 0..4_usize);
    (method, body, affinity, prop::bool::weighted(0.1), any::<u64>()).prop_map(
        |(method, body, affinity, upgrade, hash_key)| RequestMeta {
            body,
            upgrade,
            hash_key,
            affinity_server: affinity.and_then(ServerId::new),
            ..RequestMeta::new(method)
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failures = vec![Failure::Connect, Failure::Timeout, Failure::ConnectionLost, Failure::Local];
    let code = prop::sample::select(vec![200, 200, 200, 500, 502, 503, 530]);
    prop_oneof![
        3 => code.prop_map(|code| Outcome::Status(StatusCode::from_u16(code).unwrap())),
        1 => prop::sample::select(failures).prop_map(Outcome::Failed),
    ]
}

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (request(), prop::bool::weighted(0.9)).prop_map(|(request, sent)| Move::Start(request, sent)),
        5 => (0..8_usize, 0..2_usize, outcome())
            .prop_map(|(request, slot, outcome)| Move::Report(request, slot, outcome)),
        1 => (0..8_usize).prop_map(Move::Sent),
        1 => (0..8_usize).prop_map(Move::Leave),
        1 => (0..8_usize).prop_map(Move::Vanish),
        6 => Just(Move::Drive),
        3 => Just(Move::Lease),
        3 => (0..4_usize, prop::sample::select(vec![200, 200, 500, 502]))
            .prop_map(|(lease, code)| Move::Probe(lease, code)),
        1 => (0..4_usize).prop_map(Move::LoseProbe),
        1 => (0..4_usize).prop_map(Move::Abort),
        1 => Just(Move::ReleaseFailback),
        6 => prop_oneof![0..400_u64, 0..12_000_u64].prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..120)
}

prop_compose! {
    fn server()(
        weight in prop_oneof![1 => Just(0), 5 => 1..3_u32],
        backup in prop::bool::weighted(0.2),
        drain in prop::bool::weighted(0.1),
        enabled in prop::bool::weighted(0.9),
        max_requests in prop::option::of(1..3_u32),
    ) -> (u32, bool, bool, bool, Option<u32>) {
        (weight, backup, drain, enabled, max_requests)
    }
}

fn failback() -> impl Strategy<Value = Failback> {
    prop::sample::select(vec![Failback::Auto, Failback::After(Duration::from_secs(5)), Failback::Manual])
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(crate::policies())
}

prop_compose! {
    pub(super) fn service()(
        servers in prop::collection::vec(server(), 2..5),
        policy in policy(),
        failback in failback(),
        slow_start in prop::option::weighted(0.3, Just(Duration::from_secs(20))),
        primary_only in prop::bool::weighted(0.2),
        has_probes in prop::bool::weighted(0.8),
        attempts in 1..5_u32,
        timeout in prop::sample::select(vec![2_u64, 20]),
        per_try_timeout in prop::option::weighted(0.3, Just(Duration::from_secs(1))),
        liveness_check_after in prop::option::weighted(0.9, Just(Duration::from_secs(3))),
        hold in prop::option::weighted(0.3, Just(Duration::from_secs(3))),
        budget in prop::sample::select(vec![(0, 0), (20, 1), (1_000, 10)]),
    ) -> Service {
        let servers = servers.into_iter().enumerate().map(|(n, settings)| {
            let mut server = Server::new(format!("s{n}.example").parse().unwrap());
            (server.weight, server.backup, server.drain, server.enabled, server.max_requests) = settings;
            server
        });
        let mut service = Service::new("app.example", servers.collect()).unwrap();
        (service.policy, service.failback, service.slow_start) = (policy, failback, slow_start);
        service.health_check = service.health_check.filter(|_| has_probes);
        service.writes = if primary_only { Writes::PrimaryOnly } else { Writes::Anywhere };
        let retry = &mut service.retry;
        (retry.attempts, retry.timeout) = (attempts, Duration::from_secs(timeout));
        retry.per_try_timeout = per_try_timeout;
        (retry.liveness_check_after, retry.hold) = (liveness_check_after, hold);
        (retry.budget.percent, retry.budget.min_per_second) = budget;
        service
    }
}
