//! What becomes of a request to each service of a configuration.

use http::{HeaderMap, Method};
use tunnel_balancer_core::{
    Body, Exchange, Failure, Outcome, Pool, ProbeResponse, ProxiedRequest, RequestMeta, Service, Services, Step,
    Timestamp,
};

/// Every service gets the requests for its address, whoever fails, and nothing panics.
pub(crate) fn serve(services: Vec<Service>) {
    let names: Vec<String> = services.iter().map(Service::name).collect();
    let services = Services::new(services, 1);
    assert_eq!(services.pools().count(), names.len());
    for name in names {
        let url = format!("https://{name}");
        let matched = services.route(&url, false).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
        assert_eq!(matched.pool.service().name(), name);
        let mut client = HeaderMap::new();
        client.insert("cookie", "a=1".parse().expect("a value"));
        let inbound =
            ProxiedRequest::new(matched, &client, Some("203.0.113.7".to_owned())).expect("a map takes anything");
        for (method, failure) in [(Method::GET, Failure::ConnectionLost), (Method::POST, Failure::Connect)] {
            let info = inbound.meta(matched.pool, method, &client, Body::Replayable).expect("a map takes anything");
            ask(matched.pool, &inbound, info, failure);
        }
        probe(matched.pool);
    }
}

fn ask(pool: &Pool, inbound: &ProxiedRequest, info: RequestMeta, failure: Failure) {
    let now = Timestamp::from_millis(1_000_000);
    let mut exchange = pool.update(|state| Exchange::new(info, state, now));
    for _ in 0..1_000 {
        match pool.update(|state| exchange.next(state, now)) {
            Step::Attempt(plan) => {
                let server = pool.service().server(plan.server).expect("a server of its own");
                assert!(server.enabled, "{} is not enabled", server.name);
                let mut fields = HeaderMap::new();
                inbound.prepare_request(&mut fields, pool, server).expect("values that a header can have");
                inbound.prepare_response(&mut fields, pool, plan.server, true).expect("values that a header can have");
                assert!(server.url.covers(&server.url.target(&inbound.path_and_query)));
                pool.update(|state| exchange.on_outcome(state, &plan, Outcome::Failed(failure), now));
            }
            Step::Backoff(_) => {}
            Step::Finish(_) => return,
        }
    }
    panic!("no end of attempts for {}", pool.service().name());
}

fn probe(pool: &Pool) {
    let now = Timestamp::from_millis(1_000_000);
    while let Some(lease) = pool.update(|state| state.next_probe(now)) {
        let answer = ProbeResponse::new(http::StatusCode::OK);
        pool.update(|state| state.on_probe(lease, &Ok(answer), now));
    }
    pool.update(|state| state.drain_events());
}
