//! Bodies on their way, in both directions: never stored, never waited for without end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tunnel_balancer_core::{Clock, Pool, ServerId, Timestamp};

use crate::access::Access;
use crate::clock::TokioClock;
use crate::seats::Seat;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came by failed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    /// Nothing came, and the server was found to be hung.
    #[error("the server does not respond")]
    Hung,
}

/// A body that comes by a connection, with a limit on its silences.
#[derive(Debug)]
pub(crate) struct Timed {
    /// Bytes that were read before, and come first.
    read: Option<Bytes>,
    body: Incoming,
    idle: Duration,
    /// Runs while something is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether it broke off or stalled, however often it is asked for more.
    failed: bool,
    /// Whether it was read to its end.
    ended: bool,
    /// When the last piece came, at first when the headers did.
    last_piece: Instant,
    /// How long the reader has waited for the sender since it paused; `None`: it did not pause, or
    /// has caught up.
    behind: Option<Duration>,
}

impl Timed {
    /// A reader that takes nothing for longer has paused. The sender may give up, which shows after
    /// the data before it.
    const PAUSE: Duration = Duration::from_secs(1);

    /// A reader that has waited this long in all since its pause has read everything sent during
    /// the pause.
    const CAUGHT_UP: Duration = Duration::from_secs(1);

    pub(crate) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            read: None,
            body,
            idle,
            timer: None,
            failed: false,
            ended: false,
            last_piece: Instant::now(),
            behind: None,
        }
    }

    /// The same body with bytes before it that have been read already.
    pub(crate) fn after(self, read: Bytes) -> Self {
        Self { read: Some(read).filter(|read| !read.is_empty()), ..self }
    }

    /// A reader that takes nothing for this long, while there is something to take, has stopped.
    const READER_STOPPED: Duration = Duration::from_secs(10);

    /// Returns whether nothing more will be read: the body has ended, or its reader has stopped.
    fn is_read(&self) -> bool {
        let reader_stopped = self.timer.is_none() && self.last_piece.elapsed() > Self::READER_STOPPED;
        self.ended || self.failed || self.is_end_stream() || reader_stopped
    }

    /// Returns whether the reader paused and has not caught up. The sender may end the body because
    /// of the pause.
    fn is_behind(&self) -> bool {
        self.behind.is_some()
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(read) = this.read.take() {
            this.last_piece = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if this.timer.is_none() && this.last_piece.elapsed() > Self::PAUSE {
            this.behind = Some(Duration::ZERO);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.last_piece = Instant::now();
            let began = this.timer.take().map_or(this.last_piece, |timer| timer.deadline() - this.idle);
            let waited = this.last_piece.saturating_duration_since(began);
            this.behind = this.behind.map(|before| before + waited).filter(|total| *total < Self::CAUGHT_UP);
            this.failed |= matches!(frame, Some(Err(_)));
            this.ended |= frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        timer.as_mut().poll(context).map(|()| {
            this.failed = true;
            this.behind = None;
            Some(Err(BodyError::Stalled(idle)))
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

/// The body of a request to a server.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    Empty,
    Kept(Full<Bytes>),
    /// One stream, however often it is begun: only an attempt that never got a connection leaves it
    /// untouched.
    Stream(Arc<Mutex<Timed>>),
}

impl RequestBody {
    pub(crate) fn stream(body: Timed) -> Self {
        Self::Stream(Arc::new(Mutex::new(body)))
    }

    /// Whether nothing more of it is to be sent: it has ended, or the server takes nothing of it.
    pub(crate) fn is_sent(&self) -> bool {
        match self {
            Self::Empty | Self::Kept(_) => true,
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_read(),
        }
    }

    /// Whether whoever sends it broke off or stalled.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.lock().unwrap_or_else(PoisonError::into_inner).failed)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Kept(bytes) => Pin::new(bytes).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(bytes) => bytes.is_end_stream(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Kept(bytes) => bytes.size_hint(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

/// The body of an answer to a client.
#[derive(Debug)]
pub struct ProxyBody {
    content: Content,
    /// Not of a handshake: its line is written when the socket ends.
    access: Option<Access>,
    ended: bool,
    /// An error that is told at the next call: what came before it has to be on its way first.
    held: Option<BodyError>,
}

#[derive(Debug)]
enum Content {
    Own(Full<Bytes>),
    Server {
        body: Timed,
        from: From,
        /// When the last byte came.
        last_byte: Timestamp,
        /// Runs while something is waited for, until the next look at the server.
        check: Option<Pin<Box<Sleep>>>,
    },
}

/// Whose answer it is, to report when it breaks off.
#[derive(Debug)]
pub(crate) struct From {
    pub(crate) pool: Arc<Pool>,
    pub(crate) server: ServerId,
    pub(crate) clock: TokioClock,
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) seat: Option<Arc<Seat>>,
}

impl ProxyBody {
    pub(crate) fn own(text: String, access: Access) -> Self {
        Self { content: Content::Own(Full::new(Bytes::from(text))), access: Some(access), ended: false, held: None }
    }

    pub(crate) fn empty() -> Self {
        Self { content: Content::Own(Full::default()), access: None, ended: true, held: None }
    }

    pub(crate) fn of_server(body: Timed, from: From, access: Access) -> Self {
        Self {
            content: Content::Server { last_byte: from.clock.now(), check: None, body, from },
            access: Some(access),
            ended: false,
            held: None,
        }
    }
}

impl ProxyBody {
    fn broken(&mut self, why: &'static str) {
        if let Some(access) = &mut self.access {
            access.line.broken = Some(why);
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
        let frame = match &mut this.content {
            Content::Own(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
            Content::Server { body, from, last_byte, check } => match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => {
                    (*last_byte, *check) = (from.clock.now(), None);
                    Poll::Ready(frame)
                }
                Poll::Pending => poll_server(from, *last_byte, check, context).map(|error| Some(Err(error))),
            },
        };
        let Poll::Ready(frame) = frame else { return Poll::Pending };
        match (&frame, &this.content) {
            (Some(Ok(frame)), _) => {
                if let Some(access) = &mut this.access {
                    access.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            }
            (Some(Err(error)), Content::Server { from, body, .. }) => {
                if !body.is_behind() && !matches!(error, BodyError::Hung) {
                    from.pool.update(|state| state.on_response_aborted(from.server, from.clock.now()));
                }
                this.broken(match error {
                    BodyError::Broken(_) => "the server broke off",
                    BodyError::Stalled(_) => "the server stalled",
                    BodyError::Hung => "the server does not respond",
                });
            }
            _ => {}
        }
        this.ended = !matches!(frame, Some(Ok(_))) || this.is_end_stream();
        if let Some(Err(error)) = frame {
            this.held = Some(error);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(text) => text.is_end_stream(),
            Content::Server { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(text) => text.size_hint(),
            Content::Server { body, .. } => body.size_hint(),
        }
    }
}

/// Looks every few seconds whether the server of a silent response was found to be hung.
fn poll_server(
    from: &From,
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
        if from.pool.update(|state| state.is_response_lost(from.server, last_byte, from.clock.now())) {
            return Poll::Ready(BodyError::Hung);
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // Answers of our own are given as a whole, or not taken at all: to a HEAD.
        let streams = matches!(self.content, Content::Server { .. });
        if streams && !self.ended && !self.is_end_stream() {
            self.broken("the client went away");
        }
    }
}
