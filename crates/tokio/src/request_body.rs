//! The body of a request to a server.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tunnel_balancer_core::{BufferPermit, Clock, Pool, ReplayBuffer};

use crate::clock::TokioClock;
use crate::idle_timeout::{BodyError, IdleTimeoutBody};

/// The body of a client's request.
#[derive(Debug)]
pub enum ClientBody {
    /// From a connection of hyper.
    Incoming(Incoming),
    /// From another source.
    Boxed(UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>),
}

/// The body of a request to a server. Clones share the stream.
#[derive(Clone, Debug, Default)]
pub enum RequestBody {
    /// No body.
    #[default]
    Empty,
    /// Its data and trailers.
    Buffered(Full<Bytes>, Option<HeaderMap>),
    /// A stream, which is intact only until the first attempt that has a connection.
    Stream(Arc<Mutex<IdleTimeoutBody<ClientBody>>>),
}

impl RequestBody {
    /// Reads a body into memory if there is a `buffer`. `None` if the client aborts it.
    ///
    /// A body that does not fit or takes longer than `timeout` is streamed, after the part
    /// that has been read. So is one that pauses, if its length is unknown or memory is scarce.
    pub async fn read(
        body: impl Into<ClientBody>,
        buffer: Option<&BufferGuard>,
        timeout: Duration,
        idle: Duration,
    ) -> Option<Self> {
        /// The longest time without data while memory is scarce.
        const PAUSE: Duration = Duration::from_secs(2);

        let body: ClientBody = body.into();
        if body.is_end_stream() {
            return Some(Self::Empty);
        }
        let deadline = Instant::now() + timeout;
        let is_length_known = body.size_hint().exact().is_some();
        let pause = if is_length_known { PAUSE } else { ReplayBuffer::PAUSE };
        let mut body = IdleTimeoutBody::new(body, idle);
        let Some(buffer) = buffer else { return Some(Self::stream(body)) };
        let (mut read, mut trailers) = (Vec::new(), None);
        loop {
            let until = deadline.min(Instant::now() + pause);
            match timeout_at(until, body.frame()).await {
                Ok(Some(frame)) => match frame.ok()?.into_data() {
                    Ok(data) => {
                        read.extend_from_slice(&data);
                        if !buffer.grow(data.len()) {
                            break;
                        }
                    }
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                Ok(None) => return Some(Self::Buffered(Full::new(read.into()), trailers)),
                Err(_) if until == deadline || !is_length_known || buffer.permit.is_scarce() => break,
                Err(_) => {}
            }
        }
        Some(Self::stream(body.after(read.into())))
    }

    fn stream(body: IdleTimeoutBody<ClientBody>) -> Self {
        Self::Stream(Arc::new(Mutex::new(body)))
    }

    /// Returns whether it can be sent again.
    pub const fn is_replayable(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// Returns whether nothing more is expected to be sent: the body has ended, or the server does
    /// not read it.
    pub fn is_sent(&self) -> bool {
        match self {
            Self::Empty | Self::Buffered(..) => true,
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_read(),
        }
    }

    /// Returns whether the client aborted the body or timed out.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.lock().unwrap_or_else(PoisonError::into_inner).failed)
    }
}

impl ClientBody {
    /// Creates a body from any source.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Self::Boxed(body.map_err(Into::into).boxed_unsync())
    }
}

impl From<Incoming> for ClientBody {
    fn from(body: Incoming) -> Self {
        Self::Incoming(body)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Incoming(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Boxed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
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
            Self::Buffered(bytes, trailers) if bytes.is_end_stream() => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Self::Buffered(bytes, _) => Pin::new(bytes).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Buffered(bytes, trailers) => bytes.is_end_stream() && trailers.is_none(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Buffered(bytes, None) => bytes.size_hint(),
            // A body with a length has no trailers.
            Self::Buffered(_, Some(_)) => SizeHint::new(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

/// The room of a buffered body, which is released on drop.
pub struct BufferGuard {
    permit: BufferPermit,
    clock: TokioClock,
}

impl BufferGuard {
    /// Starts to buffer a body. `client` is limited to its share.
    pub fn take(
        memory: &ReplayBuffer,
        body: &impl Body,
        client: Option<&str>,
        pool: &Pool,
        clock: TokioClock,
    ) -> Option<Self> {
        if body.is_end_stream() {
            return None;
        }
        let permit = memory.start(body.size_hint().exact(), client, &pool.service().retry, clock.now())?;
        Some(Self { permit, clock })
    }

    /// Reserves room for bytes that have arrived. Returns whether they fit.
    fn grow(&self, bytes: usize) -> bool {
        self.permit.grow(bytes as u64, self.clock.now())
    }
}
