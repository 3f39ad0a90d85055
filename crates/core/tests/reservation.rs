//! Requests of hosts whose callbacks own the I/O.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Body, EjectionState, Failure, Finish, LocalReply, Outcome, Pool, Reason, RequestMeta, Reservation, ServerId,
    Service, Timestamp,
};

const CONNECT: Outcome = Outcome::Failed(Failure::Connect);

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::of(["a.example", "b.example"]).unwrap())
}

fn selected(request: &mut Reservation, now: Timestamp) -> Result<String, Finish> {
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
        assert!(!request.report(Outcome::Status(StatusCode::from_u16(code).unwrap()), at(0)));
        assert_eq!(request.report(CONNECT, at(0)), is_interim, "{code}");
    }
}

#[test]
fn a_request_without_a_server_has_a_reply() {
    let mut request = Reservation::new(pool(), RequestMeta::new(Method::POST));
    assert_eq!(request.reply(), None);
    for name in ["a", "b"] {
        assert_eq!(selected(&mut request, at(0)).as_deref(), Ok(name));
        for report in ["the first", "a second, before the next selection"] {
            assert_eq!(request.report(CONNECT, at(0)), name == "a", "{report}");
        }
    }
    assert!(matches!(request.reply(), Some(LocalReply::Unavailable { .. })));
    assert_eq!(selected(&mut request, at(0)).err(), request.reply().map(Finish::LocalReply));
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
        assert!(!request.report(CONNECT, at(0)));
        assert!(matches!(request.reply(), Some(LocalReply::Unavailable { .. })), "{request:?}");
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
        assert_eq!(request.response_timeout(at(0)), Duration::ZERO, "nothing was selected");
        assert!(request.select(at(0)).is_ok());
        (request.response_timeout(at(0)), request)
    };
    let (timeout, mut read) = first(RequestMeta::new(Method::GET));
    assert_eq!((timeout, first(RequestMeta::new(Method::POST)).0), (check_after, rest));
    assert!(read.report(Outcome::Failed(Failure::Timeout), at(3_000)));
    assert_eq!(selected(&mut read, at(3_000)).as_deref(), Ok("b"));
    assert_eq!(read.response_timeout(at(3_000)), rest - Duration::from_secs(3));

    for _ in 0..20 {
        let mut slow = Reservation::new(Arc::clone(&pool), RequestMeta::new(Method::GET));
        assert!(slow.select(at(10_000)).is_ok());
        slow.report(Outcome::Status(StatusCode::OK), at(16_000));
    }
    let (timeout, _) = first(RequestMeta::new(Method::GET));
    assert!((Duration::from_secs(6)..rest).contains(&timeout), "as usual for the server: {timeout:?}");
    let mut single = Reservation::new(Pool::of(["a.example"]).unwrap(), RequestMeta::new(Method::GET));
    assert!(single.select(at(0)).is_ok());
    assert_eq!(single.response_timeout(at(0)), rest);
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
        assert_eq!(request.response_timeout(reading), rest, "{reading:?}");
        assert_eq!(request.response_timeout(reading + rest / 2), rest / 2, "{reading:?}");
    }
}

#[test]
fn the_request_can_be_set_until_the_first_selection() {
    let mut request = Reservation::new(pool(), RequestMeta::read());
    request.set_request(RequestMeta::new(Method::TRACE));
    assert_eq!(selected(&mut request, at(0)), Err(Finish::LocalReply(LocalReply::MethodNotAllowed)));
    request.set_request(RequestMeta::read());
    assert_eq!(selected(&mut request, at(0)), Err(Finish::LocalReply(LocalReply::MethodNotAllowed)));
}

#[test]
fn the_headers_of_a_request_show_whether_it_can_be_sent_again() {
    let body = |method: Method, fields: &[(&'static str, &str)]| {
        let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        RequestMeta::with_headers(method, &headers, 100).body
    };
    assert_eq!(body(Method::GET, &[]), Body::Replayable);
    assert_eq!(body(Method::POST, &[("content-length", "100")]), Body::Replayable);
    for (method, fields) in [
        (Method::POST, &[][..]),
        (Method::POST, &[("content-length", "101")]),
        (Method::POST, &[("content-length", "1, 1")]),
        (Method::POST, &[("content-length", "1"), ("content-length", "101")]),
        (Method::GET, &[("transfer-encoding", "chunked")]),
    ] {
        assert_eq!(body(method, fields), Body::Once, "{fields:?}");
    }
    let fields = [("idempotency-key", "7"), ("upgrade", "websocket")];
    let headers = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let meta = RequestMeta::with_headers(Method::GET, &headers.into_iter().collect(), 0);
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
                let passed = Ok(tunnel_balancer_core::ProbeResponse::new(StatusCode::OK));
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
