//! Bodies of requests and responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

use crate::idle_timeout::BodyError;
use crate::upstream_body::UpstreamBody;

/// The body of a response, in memory or from a server.
#[derive(Debug)]
pub struct Body(Content);

#[derive(Debug)]
enum Content {
    Memory(Full<Bytes>),
    Upstream(Box<UpstreamBody>),
}

impl Body {
    /// Creates an empty body.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    pub(crate) fn upstream(body: UpstreamBody) -> Self {
        Self(Content::Upstream(Box::new(body)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Memory(Full::new(bytes)))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Content::Memory(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Content::Upstream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Memory(body) => body.is_end_stream(),
            Content::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Memory(body) => body.size_hint(),
            Content::Upstream(body) => body.size_hint(),
        }
    }
}
