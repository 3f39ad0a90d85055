//! A host whose process was suspended while a response arrived.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptInfo, Clock, Failure, HttpClient, Pool, ProbeRequest, RequestMeta, Server, Service, Timestamp, forward,
};

/// Servers respond when they are polled again, and every timer fires six seconds later, at once.
#[derive(Default)]
struct Suspended {
    millis: Cell<u64>,
    requests: Cell<usize>,
}

impl Clock for Suspended {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.get())
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.millis.get())
    }

    async fn sleep(&self, _: Duration) {
        self.millis.set(self.millis.get() + 6_000);
    }
}

impl HttpClient for Suspended {
    type Request = ();
    type Response = StatusCode;
    type Error = Failure;

    fn send(&self, (): &(), _: &Server, _: AttemptInfo) -> impl Future<Output = Result<StatusCode, Failure>> {
        self.requests.set(self.requests.get() + 1);
        let mut polled = false;
        poll_fn(
            move |_| {
                if std::mem::replace(&mut polled, true) { Poll::Ready(Ok(StatusCode::OK)) } else { Poll::Pending }
            },
        )
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
}

#[test]
fn a_response_that_has_arrived_counts_however_late_the_timer_fires() {
    let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
    let mut service = Service::new("app.example", servers.to_vec()).unwrap();
    service.retry.per_try_timeout = Some(Duration::from_secs(2));
    let (pool, host) = (Pool::new(service, 1), Suspended::default());
    let mut forwarded = pin!(forward(&pool, &host, &host, (), RequestMeta::new(Method::GET)));
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = || forwarded.as_mut().poll(&mut context);
    let forwarded = (0..10).find_map(|_| match poll() {
        Poll::Ready(forwarded) => Some(forwarded),
        Poll::Pending => None,
    });
    assert_eq!(forwarded.unwrap().response, Ok(StatusCode::OK));
    assert_eq!(host.requests.get(), 1, "it is not sent again");
}
