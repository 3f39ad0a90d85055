//! Bodies from connections, with idle timeouts, and those of responses to clients.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tunnel_balancer_core::headers::{self, HeaderFields};
use tunnel_balancer_core::{Clock, Pool, Reason, ServerId, Timestamp};

use crate::access::Access;
use crate::clock::TokioClock;
use crate::h2_streams::StreamSlot;
use crate::unread::Reader;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed.
    #[error(transparent)]
    ConnectionLost(#[from] hyper::Error),
    /// No data arrived for this time.
    #[error("no data for {0:?}")]
    IdleTimeout(Duration),
    /// No data arrived, and the server was found to be hung.
    #[error("server not responding")]
    Unresponsive,
}

/// A body from a connection, with an idle timeout.
#[derive(Debug)]
pub(crate) struct IdleTimeoutBody {
    /// Bytes that were read before. They come first.
    read: Option<Bytes>,
    body: Incoming,
    idle: Duration,
    /// The idle timer. It runs while data is awaited.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether it was aborted or timed out.
    pub(crate) failed: bool,
    /// Whether it was read to its end.
    ended: bool,
    /// When the last data arrived. Initially the time of the headers.
    last_data: Instant,
    /// How long the reader has waited for the sender since it paused. `None`: it did not pause, or
    /// has caught up.
    behind: Option<Duration>,
}

impl IdleTimeoutBody {
    /// A reader that reads nothing for longer has paused. The sender may then abort the body, which
    /// the reader sees after the data that was sent before.
    const PAUSE: Duration = Duration::from_secs(1);

    /// A reader that has waited for this total time since its pause has read everything that was
    /// sent during the pause.
    const CAUGHT_UP: Duration = Duration::from_secs(1);

    pub(crate) fn new(body: Incoming, idle: Duration) -> Self {
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
    pub(crate) fn after(self, read: Bytes) -> Self {
        Self { read: Some(read).filter(|read| !read.is_empty()), ..self }
    }

    /// A reader that reads nothing for this long, although data is available, has stopped.
    const READER_STOPPED: Duration = Duration::from_secs(10);

    /// Returns whether nothing more will be read: the body has ended, or its reader has stopped.
    pub(crate) fn is_read(&self) -> bool {
        let reader_stopped = self.timer.is_none() && self.last_data.elapsed() > Self::READER_STOPPED;
        self.ended || self.failed || self.is_end_stream() || reader_stopped
    }

    /// Returns whether the reader paused and has not caught up. The sender may end the body because
    /// of the pause.
    fn is_behind(&self) -> bool {
        self.behind.is_some()
    }
}

impl Body for IdleTimeoutBody {
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
        if this.timer.is_none() && this.last_data.elapsed() > Self::PAUSE {
            this.behind = Some(Duration::ZERO);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.last_data = Instant::now();
            let started = this.timer.take().map_or(this.last_data, |timer| timer.deadline() - this.idle);
            let waited = this.last_data.saturating_duration_since(started);
            this.behind = this.behind.map(|before| before + waited).filter(|total| *total < Self::CAUGHT_UP);
            this.failed |= matches!(frame, Some(Err(_)));
            this.ended |= frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map(without_reserved).map_err(BodyError::ConnectionLost)));
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
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

/// The body of a response to a client.
#[derive(Debug)]
pub struct ProxyBody {
    content: Content,
    /// `None` for a WebSocket handshake, whose line is written when the socket closes.
    access: Option<Access>,
    ended: bool,
    /// An error that is returned by the next poll, after the data before it has been flushed.
    held: Option<BodyError>,
    /// The reader of the response.
    reader: Option<Arc<Reader>>,
    /// Data that has arrived beyond the last piece for such a reader.
    rest: Bytes,
}

#[derive(Debug)]
enum Content {
    Local(Full<Bytes>),
    Upstream {
        body: IdleTimeoutBody,
        origin: ResponseOrigin,
        /// When the last byte arrived.
        last_byte: Timestamp,
        /// The timer of the next liveness check. It runs while data is awaited.
        check: Option<Pin<Box<Sleep>>>,
    },
}

/// The server of a response, to report an aborted body.
#[derive(Debug)]
pub(crate) struct ResponseOrigin {
    pub(crate) pool: Arc<Pool>,
    pub(crate) server: ServerId,
    pub(crate) clock: TokioClock,
    /// Held until the body has arrived.
    pub(crate) slot: Option<Arc<StreamSlot>>,
}

impl ProxyBody {
    /// Creates the body of a local reply.
    pub(crate) fn local(text: String, access: Access) -> Self {
        Self::new(Content::Local(Full::new(Bytes::from(text))), Some(access))
    }

    /// Creates the body of a response that is not in the access log.
    pub(crate) fn plain(bytes: Bytes) -> Self {
        Self::new(Content::Local(Full::new(bytes)), None)
    }

    pub(crate) fn empty() -> Self {
        Self::new(Content::Local(Full::default()), None)
    }

    /// Creates the body of a server's response.
    pub(crate) fn upstream(body: IdleTimeoutBody, origin: ResponseOrigin, access: Access) -> Self {
        Self::new(Content::Upstream { last_byte: origin.clock.now(), check: None, body, origin }, Some(access))
    }

    fn new(content: Content, access: Option<Access>) -> Self {
        Self { content, access, ended: false, held: None, reader: Reader::current(), rest: Bytes::new() }
    }

    /// Returns the next piece of a frame for a reader that gets pieces. The rest stays.
    fn split(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) => {
                self.rest = data.split_off(data.len().min(Reader::PIECE));
                Frame::data(data)
            }
            Err(frame) => frame,
        }
    }

    /// Counts a frame that the client gets.
    fn pass_on(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(access) = &mut self.access {
            access.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        self.reader.iter().for_each(|reader| reader.on_data());
        self.ended = self.is_end_stream();
        frame
    }

    /// Releases what was needed for the server, once the whole body has arrived.
    fn release(&mut self) {
        if let Some(access) = &mut self.access {
            access.slot = None;
        }
        if let Content::Upstream { origin, .. } = &mut self.content {
            origin.slot = None;
        }
    }

    fn has_arrived(&self) -> bool {
        match &self.content {
            Content::Local(text) => text.is_end_stream(),
            Content::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn set_reason(&mut self, reason: Reason) {
        if let Some(access) = &mut self.access {
            access.line.reason = Some(reason);
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(error) = this.held.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            let frame = this.split(Frame::data(rest));
            return Poll::Ready(Some(Ok(this.pass_on(frame))));
        }
        this.reader.iter().for_each(|reader| reader.on_wait_for_server());
        let frame = match &mut this.content {
            Content::Local(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
            Content::Upstream { body, origin, last_byte, check } => match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => {
                    (*last_byte, *check) = (origin.clock.now(), None);
                    Poll::Ready(frame)
                }
                Poll::Pending => poll_server(origin, *last_byte, check, context).map(|error| Some(Err(error))),
            },
        };
        let Poll::Ready(frame) = frame else { return Poll::Pending };
        if let (Some(Err(error)), Content::Upstream { origin, body, .. }) = (&frame, &this.content) {
            if !body.is_behind() && !matches!(error, BodyError::Unresponsive) {
                origin.pool.update(|state| state.on_response_aborted(origin.server, origin.clock.now()));
            }
            this.set_reason(match error {
                BodyError::ConnectionLost(_) => Reason::ConnectionLost,
                BodyError::IdleTimeout(_) => Reason::IdleTimeout,
                BodyError::Unresponsive => Reason::Unresponsive,
            });
        }
        if !matches!(frame, Some(Ok(_))) || this.has_arrived() {
            this.release();
        }
        match frame {
            Some(Ok(frame)) => {
                let frame = if this.reader.is_some() { this.split(frame) } else { frame };
                Poll::Ready(Some(Ok(this.pass_on(frame))))
            }
            Some(Err(error)) => {
                this.ended = true;
                this.held = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                this.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.has_arrived()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.rest.is_empty() {
            return SizeHint::new();
        }
        match &self.content {
            Content::Local(text) => text.size_hint(),
            Content::Upstream { body, .. } => body.size_hint(),
        }
    }
}

/// Checks every few seconds whether the server of a silent response was found to be hung.
fn poll_server(
    origin: &ResponseOrigin,
    last_byte: Timestamp,
    check: &mut Option<Pin<Box<Sleep>>>,
    context: &mut Context<'_>,
) -> Poll<BodyError> {
    const INTERVAL: Duration = Duration::from_secs(5);

    loop {
        let timer = check.get_or_insert_with(|| Box::pin(tokio::time::sleep(INTERVAL)));
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        *check = None;
        if origin.pool.update(|state| state.is_response_lost(origin.server, last_byte, origin.clock.now())) {
            return Poll::Ready(BodyError::Unresponsive);
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // Local replies are sent as a whole. The response to a HEAD has no body.
        let streams = matches!(self.content, Content::Upstream { .. });
        let is_unread = self.reader.as_ref().is_some_and(|reader| reader.on_end());
        if is_unread {
            self.set_reason(Reason::IdleTimeout);
        } else if streams && !self.ended && !self.is_end_stream() {
            self.set_reason(Reason::ClientDisconnected);
        }
    }
}
