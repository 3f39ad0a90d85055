//! A reverse proxy in front of the servers of a pool.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRAILER, UPGRADE};
use http::{HeaderName, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tunnel_balancer_core::{LocalReply, ProxiedRequest, ReplyContext, RequestId, RouteMatch, ServerId, headers};

use crate::BoxError;
use crate::balancer::Balancer;
use crate::body::Body;
use crate::request_body::ClientBody;
use crate::upstream_request::{UpstreamRequest, sanitize, unite_lengths};

/// A reverse proxy in front of the servers of a pool, for requests of any host and path.
///
/// Servers get `X-Forwarded-Host`, `X-Forwarded-Proto` and, if the address of the client is given,
/// `X-Forwarded-For`, which clients cannot set. The client gets the response of a server with the
/// name of that server in `X-Served-By`, or a reply with the reason. WebSockets are relayed.
///
/// With the feature `tower`, a proxy is a service for `axum::Router::fallback_service`, and reads
/// the address of the client from the extension `ClientIp`.
///
/// ```no_run
/// use http::Request;
/// use tunnel_balancer_core::Pool;
/// use tunnel_balancer_tokio::{Balancer, Body, Proxy};
///
/// # async fn example(request: Request<Body>) -> Result<(), Box<dyn std::error::Error>> {
/// let proxy = Proxy::new(Balancer::new(Pool::of(["http://10.0.0.1:8080", "http://10.0.0.2:8080"])?)?);
/// let response = proxy.handle(request, Some("203.0.113.7".parse()?)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Proxy {
    balancer: Balancer,
    scheme: &'static str,
}

impl Proxy {
    /// Creates a proxy for clients that connect without TLS.
    pub const fn new(balancer: Balancer) -> Self {
        Self { balancer, scheme: "http" }
    }

    /// Sets that clients connect with TLS, which servers learn from `X-Forwarded-Proto`.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    /// Returns the client for the servers.
    pub const fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// Serves one request. Dropping the future, as when the client disconnects, cancels the
    /// attempts in flight.
    pub async fn handle<B>(&self, mut request: Request<B>, client: Option<IpAddr>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let id = RequestId::random(RandomState::new().hash_one(()));
        let context = ReplyContext::new(text(&request, &ACCEPT), id);
        let reply = |reply| context.respond(reply, Some(self.balancer.pool().service())).into();
        let authority = request.uri().authority().map(ToString::to_string).or_else(|| text(&request, &HOST));
        let Some(authority) = authority else { return reply(LocalReply::BadRequest) };
        if request.headers().contains_key(headers::LOOP_HEADER) {
            return reply(LocalReply::Loop);
        }
        if headers::has_unknown_coding(request.headers()).unwrap_or(true) {
            return reply(LocalReply::BadRequest);
        }
        let version = request.version();
        let upgrade = sanitize(request.headers_mut(), version);
        let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (pool, scheme) = (self.balancer.pool(), self.scheme);
        let matched = RouteMatch { pool, scheme, authority: &authority, path_and_query: &path_and_query };
        let client = client.map(|client| client.to_string());
        let Ok(proxied) = ProxiedRequest::new(matched, request.headers(), client.clone()) else {
            return reply(LocalReply::BadRequest);
        };
        let proxied = Arc::new(proxied.with_id(context.id().clone()));
        let to_client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let Some((body, buffer)) = self.balancer.read_body(ClientBody::new(body), client.as_deref()).await else {
            return reply(LocalReply::Incomplete);
        };
        let request = UpstreamRequest::new(parts, Arc::clone(&proxied), body, upgrade);
        let Ok(meta) = request.meta() else { return reply(LocalReply::BadRequest) };
        let forwarded = self.balancer.forward(request, meta).await;
        drop(buffer);
        match (forwarded.response, forwarded.served_by) {
            (Ok(response), Some(server)) => self
                .present(response, &proxied, (server, forwarded.last_resort), to_client)
                .unwrap_or_else(|| reply(LocalReply::InvalidResponse)),
            (Ok(_), None) => reply(LocalReply::InvalidResponse),
            (Err(failed), _) => reply(failed),
        }
    }

    /// Returns the response for the client; `None` if it cannot be passed on.
    fn present(
        &self,
        mut response: Response<Incoming>,
        proxied: &ProxiedRequest,
        (server, last_resort): (ServerId, bool),
        to_client: Option<OnUpgrade>,
    ) -> Option<Response<Body>> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let to_server = switched.then(|| hyper::upgrade::on(&mut response));
        let is_chunked = response.body().size_hint().exact().is_none();
        let fields = response.headers_mut();
        let trailer = fields.remove(TRAILER);
        if headers::has_unknown_coding(fields).unwrap_or(true) {
            return None;
        }
        unite_lengths(fields).ok()?;
        proxied.prepare_response(fields, server, last_resort).ok()?;
        // The body was chunked, which overrides a length.
        if is_chunked {
            fields.remove(CONTENT_LENGTH);
            fields.extend(trailer.map(|trailer| (TRAILER, trailer)));
        }
        // The version belongs to the connection.
        *response.version_mut() = Version::default();
        let (Some(to_client), Some(to_server)) = (to_client, to_server) else {
            return Some(self.balancer.receive(response, server));
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        tokio::spawn(relay(to_client, to_server));
        Some(response.map(|_| Body::empty()))
    }
}

/// Relays a WebSocket until one side closes or fails.
async fn relay(client: OnUpgrade, server: OnUpgrade) {
    if let Ok((client, server)) = tokio::try_join!(client, server) {
        // An error is that of a side that disconnected.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
    }
}

fn text<B>(request: &Request<B>, name: &HeaderName) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}
