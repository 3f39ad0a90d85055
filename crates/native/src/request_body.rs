//! The body of a request to a server.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::body::{BodyError, IdleTimeoutBody};

/// The body of a request to a server. Clones share the stream.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    Empty,
    Buffered(Full<Bytes>),
    /// A stream, which is intact only until the first attempt that has a connection.
    Stream(Arc<Mutex<IdleTimeoutBody>>),
}

impl RequestBody {
    pub(crate) fn stream(body: IdleTimeoutBody) -> Self {
        Self::Stream(Arc::new(Mutex::new(body)))
    }

    /// Returns whether nothing more is expected to be sent: the body has ended, or the server does
    /// not read it.
    pub(crate) fn is_sent(&self) -> bool {
        match self {
            Self::Empty | Self::Buffered(_) => true,
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_read(),
        }
    }

    /// Returns whether the client aborted the body or timed out.
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
            Self::Buffered(bytes) => Pin::new(bytes).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Buffered(bytes) => bytes.is_end_stream(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Buffered(bytes) => bytes.size_hint(),
            Self::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}
