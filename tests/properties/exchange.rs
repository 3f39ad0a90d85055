//! One request at a time: the number of attempts, safe retries, and success whenever a server can
//! respond.

use http::{Method, StatusCode};
use proptest::prelude::*;
use std::sync::Arc;
use tunnel_balancer_core::{
    Body, Delivery, Exchange, Failure, Finish, Outcome, PoolState, RequestMeta, Server, Service, Step, Timestamp,
};

fn outcome() -> impl Strategy<Value = Outcome> {
    let status = |code: u16| Outcome::Status(StatusCode::from_u16(code).unwrap());
    let failures = vec![Failure::Connect, Failure::ConnectionLost, Failure::Timeout];
    prop_oneof![
        3 => Just(status(200)),
        1 => prop::sample::select(vec![500, 404, 502, 503, 504, 520, 521, 522, 524, 526, 530]).prop_map(status),
        1 => prop::sample::select(failures).prop_map(Outcome::Failed),
    ]
}

fn request() -> impl Strategy<Value = RequestMeta> {
    let method = prop::sample::select(vec![Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH]);
    let body = prop::sample::select(vec![Body::Replayable, Body::Once]);
    (method, any::<bool>(), body).prop_map(|(method, idempotency_key, body)| RequestMeta {
        idempotency_key,
        body,
        ..RequestMeta::new(method)
    })
}

/// Generates a clock that runs, stands still and leaps in both directions.
fn reading() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_000_u64, Just(0), any::<u64>()]
}

fn state(servers: usize, attempts: u32) -> PoolState {
    let servers = (0..servers).map(|n| Server::new(format!("s{n}.example").parse().unwrap())).collect();
    let mut service = Service::new("app.example", servers).unwrap();
    service.retry.attempts = attempts;
    // The budget has its own tests. Here it would hide other effects.
    service.retry.budget.percent = 10_000;
    PoolState::new(Arc::new(service), 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Each request has one outcome per server.
    #[test]
    fn every_request_of_a_random_history_follows_the_retry_rules(
        attempts in 1..6_u32,
        history in prop::collection::vec((request(), reading(), prop::collection::vec(outcome(), 4)), 1..30),
    ) {
        let mut state = state(4, attempts);
        for (request, reading, outcomes) in history {
            let now = Timestamp::from_millis(reading);
            let idempotent = request.method.is_idempotent() || request.idempotency_key;
            let replayable = request.body == Body::Replayable;
            let (mut exchange, mut step) = Exchange::start(request, &mut state, now);
            let mut tried: Vec<usize> = Vec::new();
            let finish = loop {
                step = match step {
                    Step::Finish(finish) => break finish,
                    Step::Sleep(pause) => return Err(TestCaseError::fail(format!("sleeps for {pause:?}"))),
                    Step::Await => return Err(TestCaseError::fail("awaits an attempt that is not in flight")),
                    Step::Attempt(attempt) => {
                        if let Some(last) = tried.last() {
                            let delivery = outcomes[*last].classify().delivery;
                            prop_assert_ne!(delivery, Delivery::Answered, "retried after a final response");
                            prop_assert!(idempotent || delivery == Delivery::Never, "may run twice");
                        }
                        prop_assert!(!tried.contains(&attempt.server().index()), "tried twice: {:?}", attempt.server());
                        let server = attempt.server().index();
                        tried.push(server);
                        exchange.report(&mut state, attempt, outcomes[server], now)
                    }
                };
            };
            prop_assert!(!tried.is_empty() && tried.len() <= attempts as usize, "tried {tried:?}");
            let responds = |server: &usize| outcomes[*server].classify().delivery == Delivery::Answered;
            if idempotent && replayable && attempts >= 4 && (0..4).any(|server| responds(&server)) {
                let has_response = tried.last().is_some_and(responds);
                prop_assert!(has_response, "failed although a server responds: {tried:?} of {outcomes:?}");
            }
            match (finish, outcomes[tried[tried.len() - 1]]) {
                (Finish::Response, Outcome::Status(status)) => {
                    prop_assert!(![521, 523, 525, 526, 530].contains(&status.as_u16()));
                }
                (Finish::Response, Outcome::Failed(_)) => prop_assert!(false, "no response to pass through"),
                (Finish::LocalReply(reply), outcome) => {
                    prop_assert!(reply.status().is_server_error());
                    prop_assert_ne!(outcome.classify().delivery, Delivery::Answered);
                }
            }
        }
    }
}
