//! What a host learns about failed attempts.

use std::cell::RefCell;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptInfo, Clock, FailedAttempt, Failure, HttpClient, Outcome, Pool, ProbeRequest, RequestMeta, Server, Service,
    Timestamp, forward,
};

/// The server `a` responds with 502, and `b` with 404.
#[derive(Default)]
struct Host(RefCell<Vec<FailedAttempt>>);

impl Clock for Host {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn unix_time(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

impl HttpClient for Host {
    type Request = ();
    type Response = StatusCode;
    type Error = Failure;

    fn send(&self, (): &(), server: &Server, _: AttemptInfo) -> impl Future<Output = Result<StatusCode, Failure>> {
        ready(Ok(if server.name == "a" { StatusCode::BAD_GATEWAY } else { StatusCode::NOT_FOUND }))
    }

    fn send_probe(&self, _: &Server, _: ProbeRequest) -> impl Future<Output = Result<StatusCode, Failure>> {
        ready(Ok(StatusCode::OK))
    }

    fn start_probes(&self) {}

    fn status(&self, response: &StatusCode) -> StatusCode {
        *response
    }

    fn header(&self, _: &StatusCode, _: &str) -> Option<String> {
        None
    }

    fn read_prefix(&self, _: StatusCode, _: usize) -> impl Future<Output = Result<Vec<u8>, Failure>> {
        ready(Ok(Vec::new()))
    }

    fn discard(&self, _: StatusCode) {}

    fn on_attempt_failed(&self, (): &(), attempt: FailedAttempt) {
        self.0.borrow_mut().push(attempt);
    }
}

#[test]
fn only_attempts_without_a_response_of_the_application_are_reported() {
    let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
    let (pool, host) = (Pool::new(Service::new("app.example", servers.to_vec()).unwrap(), 1), Host::default());
    let mut forwarded = pin!(forward(&pool, &host, &host, (), RequestMeta::new(Method::GET)));
    let Poll::Ready(forwarded) = forwarded.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("all responses are there")
    };
    assert_eq!(forwarded.response, Ok(StatusCode::NOT_FOUND));
    let outcomes: Vec<Outcome> = host.0.take().iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Status(StatusCode::BAD_GATEWAY)]);
}
