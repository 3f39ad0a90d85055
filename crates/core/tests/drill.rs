//! A drill on a host that does not know when a body was sent, so that it sets no limit.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptInfo, Body, Clock, Drill, DrillClient, DrillKind, Failure, HttpClient, Pool, ProbeRequest, RequestMeta,
    Server, ServerId, Service, Timestamp, forward,
};

/// Every timer fires on the next poll, and time passes only by timers.
#[derive(Default)]
struct Host {
    millis: Cell<u64>,
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.get())
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.millis.get())
    }

    async fn sleep(&self, duration: Duration) {
        let mut polled = false;
        poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.millis.set(self.millis.get() + u64::try_from(duration.as_millis()).unwrap());
    }
}

impl HttpClient for Host {
    type Request = ();
    type Response = StatusCode;
    type Error = Failure;

    fn send(&self, (): &(), _: &Server, _: AttemptInfo) -> impl Future<Output = Result<StatusCode, Failure>> {
        ready(Ok(StatusCode::OK))
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

    fn is_body_sent(&self, (): &()) -> bool {
        false
    }
}

#[test]
fn a_drill_of_a_hung_server_ends() {
    for is_probed in [true, false] {
        let server = Server::new("a.example".parse().unwrap());
        let mut service = Service::new("app.example", vec![server]).unwrap();
        service.health_check = service.health_check.filter(|_| is_probed);
        let (pool, host) = (Pool::new(service, 1), Host::default());
        let drill = Drill { server: ServerId::new(0).unwrap(), kind: DrillKind::Hung };
        let copy = pool.for_drill(drill, host.now());
        let client = DrillClient::new(&host, &host, &copy, Some(drill));
        let request = RequestMeta { body: Body::Once, ..RequestMeta::new(Method::POST) };
        let mut forwarded = pin!(forward(&copy, &client, &host, (), request));
        let mut context = Context::from_waker(Waker::noop());
        let forwarded = (0..10_000).find_map(|_| match forwarded.as_mut().poll(&mut context) {
            Poll::Ready(forwarded) => Some(forwarded),
            Poll::Pending => None,
        });
        assert!(forwarded.is_some_and(|forwarded| forwarded.response.is_err()), "probes: {is_probed}");
    }
}
