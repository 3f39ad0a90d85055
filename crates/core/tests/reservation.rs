//! Requests of hosts whose callbacks own the I/O.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, Version};
use tunnel_balancer_core::{
    Body, EjectionState, Failure, LocalReply, Outcome, Policy, Pool, ProbeResponse, Reason, RequestMeta, Reservation,
    ServerId, Service, Timestamp,
};

const CONNECT: Outcome = Outcome::Failed(Failure::Connect);

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::of(["a.example", "b.example"]).unwrap())
}

fn status(code: u16) -> Outcome {
    Outcome::Status(StatusCode::from_u16(code).unwrap())
}

fn selected(request: &mut Reservation, now: Timestamp) -> Result<String, LocalReply> {
    request.select(now).map(|server| server.name.clone())
}

#[test]
fn an_attempt_is_reported_once() {
    let pool = pool();
    for number in 0..10 {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert_eq!(selected(&mut request, at(number)).as_deref(), Ok("a"));
        assert_eq!(selected(&mut request, at(number)).as_deref(), Ok("a"), "the attempt in flight");
        assert!(!request.report(Outcome::Status(StatusCode::OK), at(number)));
        assert!(!request.report(CONNECT, at(number)), "a second report");
    }
    let id = ServerId::new(0).unwrap();
    assert_eq!(pool.update(|state| state.ejection_state(id, at(10))), EjectionState::Active);
}

#[test]
fn an_interim_response_is_not_the_end_of_an_attempt() {
    for (code, is_interim) in [(100, true), (103, true), (101, false), (200, false)] {
        let mut request = Reservation::new(pool(), RequestMeta { upgrade: true, ..RequestMeta::new(Method::GET) });
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok("a"));
        assert!(!request.report(status(code), at(0)));
        assert_eq!(request.report(CONNECT, at(0)), is_interim, "{code}");
    }
}

#[test]
fn a_response_that_cannot_be_passed_on_is_replaced_by_a_reply() {
    for code in [101, 600] {
        let mut request = Reservation::new(pool(), RequestMeta::new(Method::GET));
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok("a"));
        assert!(request.report(status(code), at(0)));
        assert_eq!(request.select(at(0)), Err(LocalReply::InvalidResponse), "{code}");
    }
}

#[test]
fn a_request_without_a_server_has_a_reply() {
    let mut request = Reservation::new(pool(), RequestMeta::new(Method::POST));
    assert_eq!(request.server(), None);
    for name in ["a", "b"] {
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok(name));
        assert_eq!(request.server().map(ServerId::index), Some(usize::from(name == "b")));
        for report in ["the first", "a second, before the next selection"] {
            assert!(request.report(CONNECT, at(0)), "{report}");
        }
    }
    for _ in 0..2 {
        assert!(matches!(request.select(at(0)), Err(LocalReply::Unavailable { .. })));
    }
}

#[test]
fn a_request_that_is_dropped_is_no_failure() {
    let pool = pool();
    let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
    assert_eq!(selected(&mut request, at(0)).as_deref(), Ok("a"));
    assert_eq!(pool.update(|state| state.status(at(0))).servers[0].in_flight, 1);
    drop(request);
    let status = pool.update(|state| state.status(at(0)));
    assert_eq!((status.in_flight, status.servers[0].in_flight, status.requests.canceled), (0, 0, 1));
    assert_eq!(status.servers[0].last_failure, None);
}

#[test]
fn a_host_that_cannot_wait_holds_no_request() {
    let service = Service::of("app.example", ["a.example"]).unwrap();
    let service = service.configure(|service| service.retry.hold = Some(Duration::from_secs(5))).unwrap();
    let pool = Arc::new(Pool::new(service, 1));
    for _ in 0..3 {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok("a"));
        assert!(request.report(CONNECT, at(0)));
        assert!(matches!(request.select(at(0)), Err(LocalReply::Unavailable { .. })));
    }
}

#[test]
fn a_slow_response_is_cut_at_most_once_and_only_if_another_server_may_be_faster() {
    let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
    let rest = service.retry.timeout;
    let check_after = service.retry.liveness_check_after.unwrap();
    let pool = Arc::new(Pool::new(service, 1));
    let first = |meta| {
        let mut request = Reservation::new(Arc::clone(&pool), meta);
        assert_eq!(request.response_timeout(true, at(0)), Duration::ZERO, "nothing was selected");
        assert!(request.select(at(0)).is_ok());
        (request.response_timeout(true, at(0)), request)
    };
    let (timeout, mut read) = first(RequestMeta::new(Method::GET));
    let upgrade = RequestMeta { upgrade: true, ..RequestMeta::new(Method::GET) };
    assert_eq!((timeout, first(RequestMeta::new(Method::POST)).0, first(upgrade).0), (check_after, rest, rest));
    assert_eq!(read.response_timeout(false, at(0)), rest, "the client uploads");
    assert!(read.report(Outcome::Failed(Failure::Timeout), at(3_000)));
    assert_eq!(selected(&mut read, at(3_000)).as_deref(), Ok("b"));
    assert_eq!(read.response_timeout(true, at(3_000)), rest - Duration::from_secs(3));

    for _ in 0..20 {
        let mut slow = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert!(slow.select(at(10_000)).is_ok());
        slow.report(Outcome::Status(StatusCode::OK), at(16_000));
    }
    let (timeout, _) = first(RequestMeta::new(Method::GET));
    assert!((Duration::from_secs(6)..rest).contains(&timeout), "as usual for the server: {timeout:?}");
    let mut single = Reservation::new(Pool::of(["a.example"]).unwrap(), RequestMeta::new(Method::GET));
    assert!(single.select(at(0)).is_ok());
    assert_eq!(single.response_timeout(true, at(0)), rest);
}

#[test]
fn a_slow_response_is_cut_only_if_its_retry_is_reserved() {
    let pool = pool();
    let rest = pool.service().retry.timeout;
    let start = |_| {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert!(request.select(at(0)).is_ok());
        let timeout = request.response_timeout(true, at(0));
        assert_eq!(timeout, request.response_timeout(true, at(0)), "one retry for both calls");
        (timeout, request)
    };
    let are_cut = |requests: &[(Duration, Reservation)]| requests.iter().filter(|(timeout, _)| *timeout < rest).count();
    // The budget always allows ten retries in ten seconds.
    let mut requests: Vec<_> = (0..40).map(start).collect();
    assert_eq!(are_cut(&requests), 10);
    for (_, request) in &mut requests[..3] {
        assert!(!request.report(status(200), at(1_000)));
    }
    requests.drain(3..5);
    let others: Vec<_> = (0..10).map(start).collect();
    assert_eq!(are_cut(&others), 5, "in place of those that ended");
    for (_, request) in &mut requests[3..8] {
        assert!(request.report(Outcome::Failed(Failure::Timeout), at(3_000)));
        assert_eq!(selected(request, at(3_000)).as_deref(), Ok("b"));
    }
}

#[test]
fn no_response_is_cut_while_the_servers_may_be_overloaded() {
    let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
    let pool = Arc::new(Pool::new(service.configure(|service| service.policy = Policy::RoundRobin).unwrap(), 1));
    let start = |now| {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert!(request.select(now).is_ok());
        (request.response_timeout(true, now), request)
    };
    let settings = &pool.service().retry;
    let (cut, mut on_a) = start(at(0));
    let (_, mut on_b) = start(at(0));
    assert_eq!(Some(cut), settings.liveness_check_after);
    let mut leases = Vec::new();
    for millis in (0..4_000).step_by(250) {
        pool.update(|state| leases.extend(std::iter::from_fn(|| state.next_probe(at(millis)))));
        assert_eq!((on_a.check(true, at(millis)), on_b.check(true, at(millis))), (None, None));
    }
    for request in [&mut on_a, &mut on_b] {
        assert!(!request.report(status(200), at(4_000)));
    }
    assert_eq!(start(at(4_100)).0, settings.timeout, "all were silent a moment ago");
    assert!(start(at(14_100)).0 < settings.timeout);
}

#[test]
fn a_slow_server_gets_the_time_to_show_that_it_is_slow() {
    let pool = pool();
    let check_after = pool.service().retry.liveness_check_after.unwrap();
    let start = |now| {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert_eq!(selected(&mut request, now).as_deref(), Ok("a"));
        (request.response_timeout(true, now), request)
    };
    let probe = |now| {
        pool.update(|state| {
            while let Some(lease) = state.next_probe(now) {
                state.on_probe(lease, &Ok(ProbeResponse::new(StatusCode::OK)), now);
            }
        });
    };
    probe(at(0));
    let (_, mut cut) = start(at(100));
    assert!(cut.report(Failure::Timeout, at(3_100)));
    assert_eq!(start(at(3_100)).0, check_after, "it may hang");
    probe(at(3_200));
    let (timeout, mut slow) = start(at(3_300));
    assert_eq!(timeout, 3 * check_after);
    assert!(!slow.report(status(200), at(4_300)));
    assert_eq!(start(at(4_400)).0, check_after, "its response time is known");
}

#[test]
fn a_reserved_retry_is_charged_when_it_is_used() {
    let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
    let service = service.configure(|service| service.ejection.consecutive_failures = 100).unwrap();
    let pool = Arc::new(Pool::new(service, 1));
    let start = |now| {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert!(request.select(now).is_ok());
        (request.response_timeout(true, now), request)
    };
    // With two of the retries, the budget has eight left.
    for (_, mut request) in (0..2).map(|_| start(at(0))).collect::<Vec<_>>() {
        assert!(request.report(Failure::Timeout, at(3_000)));
    }
    let rest = pool.service().retry.timeout;
    let requests: Vec<_> = (0..20).map(|_| start(at(3_100))).collect();
    assert_eq!(requests.iter().filter(|(timeout, _)| *timeout < rest).count(), 8);
}

#[test]
fn a_reserved_retry_leaves_the_budget_to_others() {
    let pool = pool();
    let start = || {
        let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok("a"));
        request.response_timeout(true, at(0));
        request
    };
    let mut requests: Vec<_> = (0..30).map(|_| start()).collect();
    for request in requests.iter_mut().rev() {
        assert!(request.report(Failure::ConnectionLost, at(100)));
        assert_eq!(selected(request, at(100)).as_deref(), Ok("b"));
    }
}

#[test]
fn a_response_timeout_does_not_depend_on_steps_of_the_clock() {
    let day = Duration::from_secs(24 * 3600);
    for reading in [at(0), at(10_000_000), at(10_000_000) + day + day] {
        let pool = Arc::new(Pool::of(["a.example"]).unwrap());
        let rest = pool.service().retry.timeout;
        pool.update(|state| state.status(at(10_000_000)));
        let mut request = Reservation::new(pool, RequestMeta::new(Method::GET));
        assert!(request.select(reading).is_ok());
        assert_eq!(request.response_timeout(true, reading), rest, "{reading:?}");
        assert_eq!(request.response_timeout(true, reading + rest / 2), rest / 2, "{reading:?}");
    }
}

#[test]
fn the_request_can_be_set_until_the_first_selection() {
    let mut request = Reservation::new(pool(), RequestMeta::read());
    request.set_request(RequestMeta::new(Method::TRACE));
    assert_eq!(selected(&mut request, at(0)), Err(LocalReply::MethodNotAllowed));
    request.set_request(RequestMeta::read());
    assert_eq!(selected(&mut request, at(0)), Err(LocalReply::MethodNotAllowed));
}

#[test]
fn the_headers_of_a_request_show_whether_it_can_be_sent_again() {
    let meta = |method: Method, version: Version, fields: &[(&'static str, &str)], limit| {
        let request = Request::builder().method(method).version(version);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        RequestMeta::from_head(&request.body(()).unwrap().into_parts().0, limit)
    };
    let body = |method, fields: &[_]| meta(method, Version::HTTP_11, fields, 100).body;
    assert_eq!(body(Method::GET, &[]), Body::Replayable);
    assert_eq!(body(Method::POST, &[("content-length", "100")]), Body::Replayable);
    assert_eq!(body(Method::DELETE, &[]), Body::Replayable, "no body");
    assert_eq!(meta(Method::DELETE, Version::HTTP_2, &[], 100).body, Body::Once, "the length is unknown");
    assert_eq!(meta(Method::GET, Version::HTTP_2, &[], 100).body, Body::Replayable);
    for (method, fields) in [
        (Method::POST, &[("content-length", "101")][..]),
        (Method::POST, &[("content-length", "1, 1")]),
        (Method::POST, &[("content-length", "1"), ("content-length", "101")]),
        (Method::GET, &[("transfer-encoding", "chunked")]),
    ] {
        assert_eq!(body(method, fields), Body::Once, "{fields:?}");
    }
    let meta = meta(Method::GET, Version::HTTP_11, &[("idempotency-key", "7"), ("upgrade", "websocket")], 0);
    assert!(meta.idempotency_key && meta.upgrade);
}

#[test]
fn a_hung_server_is_found_on_the_timers_of_the_host() {
    let pool = pool();
    let mut request = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
    let mut with_one_timer = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
    for request in [&mut request, &mut with_one_timer] {
        assert_eq!(selected(request, at(1_000)).as_deref(), Ok("a"));
    }
    // The probes of the first server end after 5 s without a response, and those of the other pass.
    let mut probes = Vec::new();
    let given_up = (1_000..20_000).step_by(250).find_map(|millis| {
        pool.update(|state| {
            while let Some(lease) = state.next_probe(at(millis)) {
                probes.push((millis + if lease.server().index() == 0 { 5_000 } else { 0 }, lease));
            }
            for (_, lease) in probes.extract_if(.., |(end, _)| *end <= millis) {
                let passed = Ok(ProbeResponse::new(StatusCode::OK));
                let result = if lease.server().index() == 0 { Err(Failure::Timeout) } else { passed };
                state.on_probe(lease, &result, at(millis));
            }
        });
        request.check(true, at(millis)).map(|failure| (millis, failure))
    });
    let (millis, failure) = given_up.unwrap();
    assert_eq!(failure, Failure::Unresponsive);
    assert!(millis <= 10_000, "{millis}");
    assert!(request.report(Outcome::Failed(failure), at(millis)));
    assert_eq!(selected(&mut request, at(millis)).as_deref(), Ok("b"));

    assert!(with_one_timer.report(Outcome::Failed(Failure::Timeout), at(millis)));
    let status = pool.update(|state| state.status(at(millis)));
    let reason = status.servers[0].last_failure.as_ref().map(|failure| failure.reason);
    assert_eq!(reason, Some(Reason::Unresponsive));
}
