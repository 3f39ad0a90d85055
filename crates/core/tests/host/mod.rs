//! A host on a clock of its own.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{AttemptInfo, Clock, Failure, HttpClient, ProbeRequest, Server, Timestamp};

/// A host whose servers respond when they are polled again. Time passes only by timers, and each
/// fires on the next poll.
#[derive(Default)]
pub(crate) struct Host {
    /// The time for which the process is suspended whenever it starts a timer, which then fires at
    /// once.
    pub(crate) suspended: Option<Duration>,
    /// Whether the bodies of requests never leave.
    pub(crate) keeps_bodies: bool,
    /// The requests so far.
    pub(crate) requests: Cell<usize>,
    /// The time since the start.
    pub(crate) elapsed: Cell<Duration>,
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.elapsed.get()
    }

    fn unix_time(&self) -> Duration {
        self.elapsed.get()
    }

    async fn sleep(&self, duration: Duration) {
        if self.suspended.is_none() {
            next_poll().await;
        }
        self.elapsed.set(self.elapsed.get() + self.suspended.unwrap_or(duration));
    }
}

impl HttpClient for Host {
    type Request = ();
    type Response = StatusCode;
    type Error = Failure;

    async fn send(&self, (): &(), _: &Server, _: AttemptInfo) -> Result<StatusCode, Failure> {
        self.requests.set(self.requests.get() + 1);
        next_poll().await;
        Ok(StatusCode::OK)
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
        !self.keeps_bodies
    }
}

/// Polls a future until it is ready, but not for ever.
pub(crate) fn poll<F: Future>(future: F) -> Option<F::Output> {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    (0..10_000).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

async fn next_poll() {
    let mut polled = false;
    poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
