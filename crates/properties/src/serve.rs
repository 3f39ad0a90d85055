//! One request to each service of a configuration.

use http::{HeaderMap, Method};
use tunnel_balancer_core::{
    Body, Exchange, Failure, Outcome, Pool, ProbeResponse, ProxiedRequest, RequestMeta, Service, Services, Step,
    Timestamp,
};

/// Checks that every service receives the requests for its host and path, and that no failure of
/// its servers causes a panic.
pub(crate) fn serve(services: Vec<Service>) {
    let names: Vec<String> = services.iter().map(Service::name).collect();
    let services = Services::new(services, 1);
    assert_eq!(services.pools().count(), names.len());
    for name in names {
        let url = format!("https://{}", name.replacen('*', "a-label-of-no-other-service", 1));
        let matched = services.route(&url, false).unwrap_or_else(|reply| panic!("{name}: {reply:?}"));
        assert_eq!(matched.pool.service().name(), name);
        let mut client = HeaderMap::new();
        client.insert("cookie", "a=1".parse().expect("a value"));
        let request = ProxiedRequest::new(matched, &client, Some("203.0.113.7".to_owned()))
            .expect("every value is valid in a map");
        for (method, failure) in [(Method::GET, Failure::ConnectionLost), (Method::POST, Failure::Connect)] {
            let meta = request.meta(method, &client, Body::Replayable, false).expect("every value is valid in a map");
            send(&request, meta, failure);
        }
        probe(matched.pool);
    }
}

fn send(request: &ProxiedRequest, meta: RequestMeta, failure: Failure) {
    let (pool, now) = (&request.pool, Timestamp::from_millis(1_000_000));
    let (mut exchange, mut step) = pool.update(|state| Exchange::start(meta, state, now));
    for _ in 0..1_000 {
        step = match step {
            Step::Attempt(attempt) => {
                let server = pool.service().server(attempt.server()).expect("a server of this pool");
                assert!(server.enabled, "{} is not enabled", server.name);
                let mut fields = HeaderMap::new();
                request.prepare_request(&mut fields, server).expect("valid header values");
                request.prepare_response(&mut fields, attempt.server(), true).expect("valid header values");
                assert!(request.target(server).is_some());
                pool.update(|state| exchange.report(state, attempt, Outcome::Failed(failure), now))
            }
            Step::Sleep(_) => pool.update(|state| exchange.resume(state, now + std::time::Duration::from_secs(1))),
            Step::Await => panic!("no attempt is in flight"),
            Step::Finish(_) => return,
        };
    }
    panic!("too many attempts for {}", pool.service().name());
}

fn probe(pool: &Pool) {
    let now = Timestamp::from_millis(1_000_000);
    while let Some(lease) = pool.update(|state| state.next_probe(now)) {
        let response = ProbeResponse::new(http::StatusCode::OK);
        pool.update(|state| state.on_probe(lease, &Ok(response), now));
    }
    pool.update(|state| state.drain_events());
}
