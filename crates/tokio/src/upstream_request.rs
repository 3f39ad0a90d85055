//! A client's request on its way to servers.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRAILER, UPGRADE};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri, Version};
use hyper::upgrade::OnUpgrade;
use tunnel_balancer_core::headers::{self, HeaderFields};
use tunnel_balancer_core::{Body, Failure, Pool, ProxiedRequest, RequestId, RequestMeta, Server};

use crate::own;
use crate::request_body::RequestBody;

/// A client's request, from which the request to each server is made.
#[derive(Debug)]
pub struct UpstreamRequest {
    method: Method,
    headers: HeaderMap,
    /// The letter case of the headers.
    extensions: Extensions,
    source: Source,
    body: RequestBody,
    /// Whether the client requests a WebSocket.
    pub upgrade: bool,
}

/// Where a request comes from.
#[derive(Debug)]
enum Source {
    /// A client of a proxy.
    Client(Arc<ProxiedRequest>),
    /// This program, whose request has this URI.
    Program { pool: Arc<Pool>, uri: Uri },
}

/// Removes the headers that belong to the client's connection.
///
/// Returns whether a WebSocket is requested. Other upgrades are removed: `h2c` would bypass every
/// decision of the balancer.
pub fn sanitize(headers: &mut HeaderMap, version: Version) -> bool {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let upgrade = version == Version::HTTP_11
        && headers.get(UPGRADE).is_some_and(is_websocket)
        && HeaderFields::get(headers, "connection")
            .ok()
            .flatten()
            .is_some_and(|named| named.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")));
    // gRPC requires this field, by which an HTTP/2 client announces that it accepts trailers.
    let trailers = version == Version::HTTP_2 && headers.get(TE).is_some_and(|te| te == "trailers");
    let trailer = headers.remove(TRAILER);
    let Ok(()) = headers::remove_hop_by_hop(headers) else { return false };
    // Announces trailers, which are passed on with a chunked body.
    if let Some(trailer) = trailer {
        headers.insert(TRAILER, trailer);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    upgrade
}

/// Joins the `Cookie` lines that HTTP/2 permits into one (RFC 9113, section 8.2.3).
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

/// Replaces a list of equal lengths, which hyper accepts, by one of them (RFC 9110, section 8.6).
pub fn unite_lengths(headers: &mut HeaderMap) -> Result<(), <HeaderMap as HeaderFields>::Error> {
    headers.rewrite("content-length", |lengths| {
        let (first, others) = lengths.split_once(',')?;
        others.split(',').all(|other| other.trim() == first.trim()).then(|| first.trim().to_owned())
    })
}

impl UpstreamRequest {
    /// Creates a request. [`sanitize`] has edited the headers and returned `upgrade`.
    pub fn new(
        Parts { method, mut headers, mut extensions, .. }: Parts,
        proxied: Arc<ProxiedRequest>,
        body: RequestBody,
        upgrade: bool,
    ) -> Self {
        // Belongs to the client's connection.
        extensions.remove::<OnUpgrade>();
        // The host of the server's URL is used instead.
        headers.remove(HOST);
        let length = http_body::Body::size_hint(&body).exact();
        if length.is_some() {
            headers.remove(TRAILER);
        }
        // HTTP/2 frames bodies itself and may contradict this field. Only a known length is kept.
        match length {
            Some(bytes) if headers.contains_key(CONTENT_LENGTH) => {
                headers.insert(CONTENT_LENGTH, bytes.into());
            }
            _ => {
                headers.remove(CONTENT_LENGTH);
            }
        }
        Self { method, headers, extensions, source: Source::Client(proxied), body, upgrade }
    }

    /// Creates a request of this program for the servers of `pool`.
    pub(crate) fn own(parts: Parts, body: RequestBody, pool: &Arc<Pool>) -> Self {
        let Parts { method, uri, mut headers, extensions, .. } = parts;
        headers.remove(CONTENT_LENGTH);
        let source = Source::Program { pool: Arc::clone(pool), uri };
        Self { method, headers, extensions, source, body, upgrade: false }
    }

    /// Returns the properties that decide about retries.
    pub fn meta(&self) -> Result<RequestMeta, <HeaderMap as HeaderFields>::Error> {
        let body = if self.body.is_replayable() { Body::Replayable } else { Body::Once };
        match &self.source {
            Source::Client(proxied) => proxied.meta(self.method.clone(), &self.headers, body, self.upgrade),
            Source::Program { pool, uri } => Ok(own::meta(pool.service(), &self.method, uri, &self.headers, body)),
        }
    }

    /// Returns the id of a client's request.
    pub fn id(&self) -> Option<&RequestId> {
        match &self.source {
            Source::Client(proxied) => proxied.id(),
            Source::Program { .. } => None,
        }
    }

    /// Returns whether the client did not send the whole of its body.
    pub fn is_aborted(&self) -> bool {
        self.body.has_failed()
    }

    /// Returns whether nothing more of the body is expected to be sent.
    pub fn is_body_sent(&self) -> bool {
        self.body.is_sent()
    }

    /// Returns the request for `server`.
    pub fn prepare_for(&self, server: &Server) -> Result<Request<RequestBody>, Failure> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        *request.uri_mut() = match &self.source {
            Source::Client(proxied) => {
                // With TLS, the server may offer HTTP/2, which has no such field.
                if server.url.scheme() == "http" {
                    let host = HeaderValue::from_str(server.url.authority()).map_err(|_| Failure::InvalidRequest)?;
                    request.headers_mut().insert(HOST, host);
                }
                proxied.prepare_request(request.headers_mut(), server).map_err(|_| Failure::InvalidRequest)?;
                let target = proxied.target(server).ok_or(Failure::InvalidRequest)?;
                own::uri(target).ok_or(Failure::InvalidRequest)?
            }
            Source::Program { pool, uri } => own::prepare(pool.service(), server, uri, request.headers_mut())?,
        };
        if self.upgrade {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Ok(request)
    }
}
