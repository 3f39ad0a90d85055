//! A client's request on its way to a server.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue, TE, UPGRADE};
use http::{HeaderMap, Method, Request, Uri, Version};
use tunnel_balancer_core::headers::{self, HeaderFields};
use tunnel_balancer_core::{Body, Failure, ProxiedRequest, RequestMeta, Server};

use crate::body::RequestBody;

/// A request that can be addressed to one server after the other.
#[derive(Debug)]
pub(crate) struct Outgoing {
    method: Method,
    headers: HeaderMap,
    inbound: ProxiedRequest,
    body: RequestBody,
    /// Whether the client wants a WebSocket.
    pub(crate) upgrade: bool,
}

/// Makes a request's headers those of the message alone: what is about the client's connection
/// goes.
///
/// Tells whether a WebSocket is wanted. No other protocol is upgraded to: through `h2c` a client
/// would get past everything that is decided here.
pub(crate) fn strip(headers: &mut HeaderMap, version: Version) -> bool {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let upgrade = version == Version::HTTP_11
        && headers.get(UPGRADE).is_some_and(is_websocket)
        && HeaderFields::get(headers, "connection")
            .ok()
            .flatten()
            .is_some_and(|named| named.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")));
    // In HTTP/2, whose connections are not ours to forget, this says that trailers are understood;
    // gRPC asks for it.
    let trailers = version == Version::HTTP_2 && headers.get(TE).is_some_and(|te| te == "trailers");
    // Our own server says `100 Continue` when the body is asked for.
    headers.remove(EXPECT);
    let Ok(()) = headers::remove_hop_by_hop(headers) else { return false };
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    upgrade
}

/// HTTP/2 may send each cookie in a line of its own; for anything else they belong into one (RFC
/// 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines = headers.get_all(http::header::COOKIE);
    if lines.iter().count() < 2 {
        return;
    }
    let joined = lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(http::header::COOKIE, joined);
    }
}

impl Outgoing {
    /// `headers` have been through [`strip`], which told `upgrade`.
    pub(crate) fn new(
        method: Method,
        mut headers: HeaderMap,
        inbound: ProxiedRequest,
        body: RequestBody,
        upgrade: bool,
    ) -> Self {
        // The server is asked by its own name.
        headers.remove(HOST);
        // HTTP/2 frames bodies by itself, whatever such lines say: one that is known to be true is
        // left, or none.
        match http_body::Body::size_hint(&body).exact() {
            Some(bytes) if headers.contains_key(CONTENT_LENGTH) => {
                headers.insert(CONTENT_LENGTH, bytes.into());
            }
            _ => {
                headers.remove(CONTENT_LENGTH);
            }
        }
        Self { method, headers, inbound, body, upgrade }
    }

    /// What the core wants to know of it.
    pub(crate) fn meta(&self) -> Result<RequestMeta, <HeaderMap as HeaderFields>::Error> {
        let body = if matches!(self.body, RequestBody::Stream(_)) { Body::Once } else { Body::Replayable };
        self.inbound.meta(self.method.clone(), &self.headers, body, self.upgrade)
    }

    /// Whether the client did not send the whole of its body.
    pub(crate) fn is_aborted(&self) -> bool {
        self.body.has_failed()
    }

    /// Whether nothing more of the body is expected to be sent.
    pub(crate) fn is_body_sent(&self) -> bool {
        self.body.is_sent()
    }

    /// The request as `server` gets it.
    pub(crate) fn addressed_to(&self, server: &Server) -> Result<Request<RequestBody>, Failure> {
        let target = server.url.target(&self.inbound.path_and_query);
        if !server.url.matches(&target) {
            return Err(Failure::InvalidRequest);
        }
        let uri: Uri = target.parse().map_err(|_| Failure::InvalidRequest)?;
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        self.inbound.prepare_request(request.headers_mut(), server).map_err(|_| Failure::InvalidRequest)?;
        if self.upgrade {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Ok(request)
    }
}
