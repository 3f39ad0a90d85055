//! The subrequests of one request. A Worker may make 50, probes included.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use tunnel_balancer_config::Subrequests;
use tunnel_balancer_core::{Failure, HealthCheck, RequestMeta, Server, Service};
use tunnel_balancer_sim::{Behavior, Sim};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn behavior() -> impl Strategy<Value = Behavior> {
    let fast = prop_oneof![
        2 => prop::sample::select(vec![200, 500, 502, 503, 530]).prop_map(Behavior::status),
        1 => prop::sample::select(vec![Failure::Connect, Failure::ConnectionLost]).prop_map(Behavior::fails),
    ];
    prop_oneof![
        2 => Just(Behavior::hangs()),
        3 => (fast, prop::sample::select(vec![1, 100, 700, 2_500, 6_000, 20_000, 70_000]))
            .prop_map(|(behavior, after)| behavior.after(Duration::from_millis(after))),
    ]
}

fn time(millis: &'static [u64]) -> impl Strategy<Value = Duration> {
    prop::sample::select(millis.to_vec()).prop_map(Duration::from_millis)
}

prop_compose! {
    fn service()(
        servers in 1..=NAMES.len(),
        attempts in 1..6_u32,
        timeout in time(&[1_000, 10_000, 30_000, 100_000]),
        per_try in prop::option::of(time(&[500, 2_000, 9_000])),
        check_after in prop::option::weighted(0.8, time(&[1_000, 3_000, 20_000])),
        probe_timeout in prop::option::weighted(0.8, time(&[200, 1_000, 5_000])),
        hold in prop::option::of(time(&[1_000, 5_000, 20_000])),
        hedge in any::<bool>(),
    ) -> Service {
        let servers = NAMES[..servers].iter().map(|name| Server::new(format!("{name}.example").parse().unwrap()));
        let mut service = Service::new("app.example", servers.collect()).unwrap();
        service.health_check = probe_timeout.map(|timeout| {
            let mut check = HealthCheck::default();
            check.timeout = timeout;
            check
        });
        (service.retry.attempts, service.retry.timeout, service.retry.per_try_timeout) = (attempts, timeout, per_try);
        (service.retry.liveness_check_after, service.retry.hold, service.retry.hedge) = (check_after, hold, hedge);
        service
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn attempts_stay_within_the_number_that_check_reports(
        service in service(),
        behaviors in prop::collection::vec((behavior(), behavior()), NAMES.len()),
        post in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let work = Subrequests::of(&service);
        let mut sim = Sim::new(service.clone(), seed);
        let start = Duration::from_secs(60);
        for (server, (requests, probes)) in service.servers().iter().zip(behaviors) {
            sim.server(Duration::ZERO, &server.name, Behavior::status(200).after(Duration::from_millis(5)));
            sim.server(start, &server.name, requests);
            sim.probes(start, &server.name, probes);
        }
        (0..20).for_each(|n| sim.get(Duration::from_secs(30) + Duration::from_millis(n * 10)));
        sim.request(start, RequestMeta::new(if post { Method::POST } else { Method::GET }));
        let attempts = sim.run(start + Duration::from_secs(400)).requests.values().sum::<usize>() - 20;
        prop_assert!(attempts <= (work.attempts + work.hedges + work.held) as usize, "{attempts} attempts, {work:?}");
    }
}
