//! Bodies of servers' responses.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use tunnel_balancer_core::{Clock as _, Pool, ServerId};

use crate::clock::TokioClock;
use crate::h2_streams::StreamSlot;
use crate::idle_timeout::{BodyError, IdleTimeoutBody};

/// The body of a server's response. If the server aborts it, that is reported to the pool.
#[derive(Debug)]
pub struct UpstreamBody {
    body: IdleTimeoutBody<Incoming>,
    origin: ResponseOrigin,
    /// The timer of the next liveness check. It runs while data is awaited.
    check: Option<Pin<Box<Sleep>>>,
}

/// The server of a response, to report an aborted body.
#[derive(Debug)]
pub struct ResponseOrigin {
    /// The pool of the server.
    pub pool: Arc<Pool>,
    /// The server.
    pub server: ServerId,
    /// The clock of the pool.
    pub clock: TokioClock,
    /// Held until the body has arrived.
    pub slot: Option<Arc<StreamSlot>>,
}

impl UpstreamBody {
    /// Creates the body of a response from `origin`, with an idle timeout.
    pub fn new(body: Incoming, idle: Duration, origin: ResponseOrigin) -> Self {
        Self { body: IdleTimeoutBody::new(body, idle), check: None, origin }
    }

    /// Checks every few seconds whether the server of a silent response was found to be hung.
    fn poll_server(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        const INTERVAL: Duration = Duration::from_secs(5);

        loop {
            let timer = self.check.get_or_insert_with(|| Box::pin(tokio::time::sleep(INTERVAL)));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.check = None;
            let ResponseOrigin { pool, server, clock, .. } = &self.origin;
            let last_byte = clock.at(self.body.last_data());
            if pool.update(|state| state.is_response_lost(*server, last_byte, clock.now())) {
                return Poll::Ready(BodyError::Unresponsive);
            }
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.check = None;
                frame
            }
            Poll::Pending => match this.poll_server(context) {
                Poll::Ready(error) => Some(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        let origin = &mut this.origin;
        if let Some(Err(error)) = &frame
            && !this.body.is_behind()
            && !matches!(error, BodyError::Unresponsive)
        {
            origin.pool.update(|state| state.on_response_aborted(origin.server, origin.clock.now()));
        }
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            origin.slot = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
