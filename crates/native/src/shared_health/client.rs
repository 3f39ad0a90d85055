//! Requests to the other side: small, with a timeout, and with a bounded response.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::timeout;
use tunnel_balancer_core::ServerTls;
use tunnel_balancer_tokio::host::RequestBody;
use tunnel_balancer_tokio::host::Transport;
use tunnel_balancer_tokio::host::error;

/// A client that follows no redirects. It trusts the root certificates of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Client(Transport);

/// A complete response.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There was no response. Maybe this machine has no network.
    Unreachable(String),
    /// The response is no success.
    Rejected {
        detail: String,
        retry_after: Option<Duration>,
        /// Whether the same message may be accepted later.
        is_temporary: bool,
    },
}

impl Failure {
    /// Returns the cause, for people.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Unreachable(detail) | Self::Rejected { detail, .. } => detail,
        }
    }

    /// Returns whether the same message may be accepted later.
    pub(crate) const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Rejected { is_temporary: true, .. })
    }

    /// Returns the time to wait that the other side asks for.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(_) => None,
            Self::Rejected { retry_after, .. } => *retry_after,
        }
    }
}

impl Client {
    /// The time for a whole exchange.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

    /// Creates a client that opens a connection for each request. One that the other side closes at
    /// the moment of its next use would look like a lost network.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Transport::new(&ServerTls::default(), 0).map_err(io::Error::other)?))
    }

    /// Sends a request and reads the whole response, of at most `limit` bytes. `secret` is a header
    /// that is not logged, and `content` the type and the bytes of the body.
    ///
    /// # Errors
    /// If there is no complete response in time.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Uri,
        secret: (HeaderName, &str),
        content: (&'static str, Vec<u8>),
        limit: usize,
    ) -> Result<Received, Failure> {
        let (content_type, body) = content;
        let body = if body.is_empty() {
            RequestBody::Empty
        } else {
            RequestBody::Buffered(Full::new(Bytes::from(body)), None)
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        url.clone_into(request.uri_mut());
        let (name, secret) = secret;
        let mut secret = HeaderValue::from_str(secret)
            .map_err(|_| Failure::Unreachable(format!("the value of the header {name} is invalid")))?;
        secret.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(name, secret);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION"))));
        let unreachable = |detail: Option<String>| Failure::Unreachable(detail.unwrap_or_default());
        let exchange = async {
            let response = self
                .0
                .send(request)
                .await
                .map_err(|error| unreachable(error::cause(&error).or_else(|| Some(error::describe(&error)))))?;
            let (parts, body) = response.into_parts();
            let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    let detail = format!("the response is larger than {limit} bytes");
                    return Failure::Rejected { detail, retry_after: None, is_temporary: false };
                }
                unreachable(error::cause(&*error).or_else(|| Some(error::describe(&*error))))
            })?;
            Ok(Received {
                status: parts.status,
                retry_after: retry_after.map(Duration::from_secs),
                body: body.to_bytes().into(),
            })
        };
        let no_response = || Failure::Unreachable(format!("no response within {:?}", Self::TIMEOUT));
        timeout(Self::TIMEOUT, exchange).await.unwrap_or_else(|_| Err(no_response()))
    }
}

impl Received {
    /// Returns the failure of a response that is no success. `detail` is its cause, if known.
    pub(crate) fn rejection(&self, detail: Option<String>) -> Failure {
        let status = self.status.as_u16();
        let detail = match detail {
            Some(detail) => format!("status {status}: {}", detail.chars().take(300).collect::<String>()),
            None if self.status.is_redirection() => {
                format!("status {status}: a redirect, which is not followed, such as to a login page")
            }
            None => format!("status {status}"),
        };
        let is_temporary = self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error();
        Failure::Rejected { detail, retry_after: self.retry_after, is_temporary }
    }
}
