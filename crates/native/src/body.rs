//! Bodies of responses to clients.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tunnel_balancer_core::Reason;
use tunnel_balancer_tokio::host::{BodyError, UpstreamBody};

use crate::access::Access;
use crate::unread::Reader;

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
    Upstream(UpstreamBody),
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
    pub(crate) fn upstream(body: UpstreamBody, access: Access) -> Self {
        Self::new(Content::Upstream(body), Some(access))
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

    /// Releases the slot of the request, once the whole body has arrived.
    fn release(&mut self) {
        if let Some(access) = &mut self.access {
            access.slot = None;
        }
    }

    fn has_arrived(&self) -> bool {
        match &self.content {
            Content::Local(text) => text.is_end_stream(),
            Content::Upstream(body) => body.is_end_stream(),
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
            Content::Upstream(body) => Pin::new(body).poll_frame(context),
        };
        let Poll::Ready(frame) = frame else { return Poll::Pending };
        if let Some(Err(error)) = &frame {
            this.set_reason(error.reason());
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
            Content::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // Local replies are sent as a whole. The response to a HEAD has no body.
        let streams = matches!(self.content, Content::Upstream(_));
        let is_unread = self.reader.as_ref().is_some_and(|reader| reader.on_end());
        if is_unread {
            self.set_reason(Reason::IdleTimeout);
        } else if streams && !self.ended && !self.is_end_stream() {
            self.set_reason(Reason::ClientDisconnected);
        }
    }
}
