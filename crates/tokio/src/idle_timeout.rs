//! Bodies from connections, with an idle timeout.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tunnel_balancer_core::Reason;
use tunnel_balancer_core::headers::{self, HeaderFields};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection failed.
    #[error(transparent)]
    ConnectionLost(Box<dyn Error + Send + Sync>),
    /// No data arrived for this time.
    #[error("no data for {0:?}")]
    IdleTimeout(Duration),
    /// No data arrived, and the server was found to be hung.
    #[error("server not responding")]
    Unresponsive,
}

impl BodyError {
    /// Returns the reason in the log.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::ConnectionLost(_) => Reason::ConnectionLost,
            Self::IdleTimeout(_) => Reason::IdleTimeout,
            Self::Unresponsive => Reason::Unresponsive,
        }
    }
}

/// A body from a connection, with an idle timeout.
#[derive(Debug)]
pub struct IdleTimeoutBody<B> {
    /// Bytes that were read before. They come first.
    read: Option<Bytes>,
    body: B,
    idle: Duration,
    /// The idle timer. It runs while data is awaited.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether it was aborted or timed out.
    pub failed: bool,
    /// Whether it was read to its end.
    ended: bool,
    /// When the last data arrived. Initially the time of the headers.
    last_data: Instant,
    /// How long the reader has waited for the sender since it paused. `None`: it did not pause, or
    /// has caught up.
    behind: Option<Duration>,
}

impl<B: Body<Data = Bytes> + Unpin> IdleTimeoutBody<B> {
    /// A reader that reads nothing for longer has paused. The sender may then abort the body, which
    /// the reader sees after the data that was sent before.
    const PAUSE: Duration = Duration::from_secs(1);

    /// A reader that has waited for this total time since its pause has read everything that was
    /// sent during the pause.
    const CAUGHT_UP: Duration = Duration::from_secs(1);

    /// Creates a body that fails after a time without data.
    pub fn new(body: B, idle: Duration) -> Self {
        Self {
            read: None,
            body,
            idle,
            timer: None,
            failed: false,
            ended: false,
            last_data: Instant::now(),
            behind: None,
        }
    }

    /// Returns the same body, preceded by bytes that were read before.
    pub fn after(self, read: Bytes) -> Self {
        Self { read: Some(read).filter(|read| !read.is_empty()), ..self }
    }

    /// A reader that reads nothing for this long, although data is available, has stopped.
    const READER_STOPPED: Duration = Duration::from_secs(10);

    /// Returns whether nothing more will be read: the body has ended, or its reader has stopped.
    pub fn is_read(&self) -> bool {
        let reader_stopped = self.timer.is_none() && self.last_data.elapsed() > Self::READER_STOPPED;
        let is_at_end = self.read.is_none() && self.body.is_end_stream();
        self.ended || self.failed || is_at_end || reader_stopped
    }

    /// Returns when the last data arrived. Before that, the time of the headers.
    pub(crate) const fn last_data(&self) -> Instant {
        self.last_data
    }

    /// Returns whether the reader paused and has not caught up. The sender may end the body because
    /// of the pause.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some()
    }
}

impl<B> Body for IdleTimeoutBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(read) = this.read.take() {
            this.last_data = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        let now = Instant::now();
        if this.timer.is_none() && now.saturating_duration_since(this.last_data) > Self::PAUSE {
            this.behind = Some(Duration::ZERO);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.last_data = now;
            let started = this.timer.take().map_or(this.last_data, |timer| timer.deadline() - this.idle);
            let waited = this.last_data.saturating_duration_since(started);
            this.behind = this.behind.map(|before| before + waited).filter(|total| *total < Self::CAUGHT_UP);
            this.failed |= matches!(frame, Some(Err(_)));
            this.ended |= frame.is_none();
            return Poll::Ready(
                frame.map(|frame| frame.map(without_reserved).map_err(|error| BodyError::ConnectionLost(error.into()))),
            );
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(now + idle)));
        timer.as_mut().poll(context).map(|()| {
            this.failed = true;
            this.behind = None;
            Some(Err(BodyError::IdleTimeout(idle)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (read, rest) = (self.read.as_ref().map_or(0, |read| read.len() as u64), self.body.size_hint());
        rest.exact().map_or_else(SizeHint::new, |rest| SizeHint::with_exact(read + rest))
    }
}

/// Removes headers of the balancer and of connections from trailers: some programs read trailers as
/// headers.
fn without_reserved(frame: Frame<Bytes>) -> Frame<Bytes> {
    let mut trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(data) => return data,
    };
    let is_reserved = |name: &str| headers::is_stripped(name, |_| false);
    let removed = headers::remove_hop_by_hop(&mut trailers).and_then(|()| trailers.remove_if(is_reserved));
    Frame::trailers(removed.map_or_else(|_| HeaderMap::new(), |()| trailers))
}
