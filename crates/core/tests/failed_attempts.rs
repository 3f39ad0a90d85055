//! What a host learns about failed attempts.

use std::cell::RefCell;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptInfo, Clock, FailedAttempt, Failure, HttpClient, Outcome, Pool, ProbeRequest, Reason, RequestMeta, Server,
    Service, Timestamp, UpstreamError, forward, run_probes,
};

/// The server `a` responds with 502, `b` with 404, and `c` with an invalid certificate.
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

#[derive(Debug)]
struct InvalidCertificate;

impl UpstreamError for InvalidCertificate {
    fn failure(&self) -> Failure {
        Failure::Connect
    }

    fn detail(&self) -> Option<String> {
        Some("certificate expired".to_owned())
    }
}

type Sent<T> = Result<T, InvalidCertificate>;

impl HttpClient for Host {
    type Request = ();
    type Response = StatusCode;
    type Error = InvalidCertificate;

    fn send(&self, (): &(), server: &Server, _: AttemptInfo) -> impl Future<Output = Sent<StatusCode>> {
        ready(match server.name.as_str() {
            "a" => Ok(StatusCode::BAD_GATEWAY),
            "b" => Ok(StatusCode::NOT_FOUND),
            _ => Err(InvalidCertificate),
        })
    }

    fn send_probe(&self, _: &Server, _: ProbeRequest) -> impl Future<Output = Sent<StatusCode>> {
        ready(Err(InvalidCertificate))
    }

    fn start_probes(&self) {}

    fn status(&self, response: &StatusCode) -> StatusCode {
        *response
    }

    fn header(&self, _: &StatusCode, _: &str) -> Option<String> {
        None
    }

    fn read_prefix(&self, _: StatusCode, _: usize) -> impl Future<Output = Sent<Vec<u8>>> {
        ready(Ok(Vec::new()))
    }

    fn discard(&self, _: StatusCode) {}

    fn on_attempt_failed(&self, (): &(), attempt: &FailedAttempt) {
        self.0.borrow_mut().push(attempt.clone());
    }
}

fn pool(servers: &[&str]) -> Pool {
    let servers = servers.iter().map(|url| Server::new(url.parse().unwrap())).collect();
    Pool::new(Service::new("app.example", servers).unwrap(), 1)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let Poll::Ready(result) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("all responses are there")
    };
    result
}

#[test]
fn only_attempts_without_a_response_of_the_application_are_reported() {
    let (pool, host) = (pool(&["a.example", "b.example"]), Host::default());
    let forwarded = block_on(forward(&pool, &host, &host, (), RequestMeta::new(Method::GET)));
    assert_eq!(forwarded.response.unwrap(), StatusCode::NOT_FOUND);
    let outcomes: Vec<Outcome> = host.0.take().iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Status(StatusCode::BAD_GATEWAY)]);
}

#[test]
fn the_result_has_the_failures_and_the_error_of_the_client() {
    let (pool, host) = (pool(&["a.example", "c.example"]), Host::default());
    let forwarded = block_on(forward(&pool, &host, &host, (), RequestMeta::new(Method::GET)));
    assert_eq!(forwarded.response.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((forwarded.attempts, forwarded.failures), (2, host.0.take()));
    assert_eq!(forwarded.last_error.map(|error| error.detail()), Some(InvalidCertificate.detail()));
}

#[test]
fn the_status_has_the_cause_that_the_host_knows() {
    let host = Host::default();
    let last_failure = |pool: &Pool| {
        let status = pool.update(|state| state.status(Timestamp::ZERO));
        status.servers[0].last_failure.clone().map(|last| (last.reason, last.detail))
    };
    let expected = Some((Reason::ConnectFailed, "certificate expired".to_owned()));

    let requested = pool(&["c.example"]);
    assert_eq!(last_failure(&requested), None);
    block_on(forward(&requested, &host, &host, (), RequestMeta::new(Method::GET)));
    assert_eq!(last_failure(&requested), expected);

    let probed = pool(&["a.example"]);
    let lease = probed.update(|state| state.next_probe(Timestamp::ZERO)).unwrap();
    block_on(run_probes(&probed, &host, &host, lease));
    assert_eq!(last_failure(&probed), expected);
    let last_probe = probed.update(|state| state.status(Timestamp::ZERO)).servers[0].last_probe.clone();
    assert_eq!(last_probe.unwrap().detail.as_deref(), Some("certificate expired"));
}
