//! A proxy on Pingora, whose callbacks drive a [`Reservation`].

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session};
use tunnel_balancer_core::{Clock as _, Failure, Outcome, RequestMeta, Reservation};
use tunnel_balancer_tokio::Balancer;

/// The size of the bodies that Pingora can send again.
const REPLAYABLE: u64 = 64 * 1024;

/// The proxy, and a service that probes its servers.
#[derive(Clone)]
pub struct Proxy(pub Balancer);

impl Proxy {
    /// Reports a failure of the attempt in flight, if there is one. The request is sent again, or
    /// the client gets the reply of the balancer.
    fn on_failure(&self, request: &mut Reservation, failure: Failure, mut e: Box<Error>) -> Box<Error> {
        e.set_retry(request.report(Outcome::Failed(failure), self.0.clock().now()));
        let Some(reply) = request.reply() else { return e };
        Error::because(ErrorType::HTTPStatus(reply.status().as_u16()), "no server responded", e)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Reservation;

    fn new_ctx(&self) -> Reservation {
        Reservation::new(Arc::clone(self.0.pool()), RequestMeta::read())
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let (head, now) = (session.req_header(), self.0.clock().now());
        request.set_request(RequestMeta::with_headers(head.method.clone(), &head.headers, REPLAYABLE));
        let Ok(server) = request.select(now) else {
            return Err(self.on_failure(request, Failure::Local, Error::new(ErrorType::InternalError)));
        };
        let (url, is_https) = (&server.url, server.url.scheme() == "https");
        let mut peer = HttpPeer::new(url.socket_address(), is_https, url.host().to_owned());
        peer.options.read_timeout = Some(request.response_timeout(now));
        Ok(Box::new(peer))
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, request: &mut Self::CTX, e: Box<Error>) -> Box<Error> {
        self.on_failure(request, Failure::Connect, e)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Self::CTX,
    ) -> Result<()> {
        let status = response.status;
        if status.is_informational() || !request.report(Outcome::Status(status), self.0.clock().now()) {
            return Ok(());
        }
        let mut retry = Error::new_up(ErrorType::HTTPStatus(status.as_u16()));
        retry.set_retry(true);
        Err(retry)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        request: &mut Self::CTX,
        _: bool,
    ) -> Box<Error> {
        let failure = match e.etype() {
            ErrorType::ReadTimedout => request.check(true, self.0.clock().now()).unwrap_or(Failure::Timeout),
            _ => Failure::ConnectionLost,
        };
        // The response filter has decided about a response before.
        let mut e = if e.retry() { e } else { self.on_failure(request, failure, e) };
        e.set_retry(e.retry() && !session.as_ref().retry_buffer_truncated());
        e
    }
}

#[async_trait]
impl BackgroundService for Proxy {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let _prober = self.0.keep_probing();
        // An error means that the sender has ended.
        let _ = shutdown.changed().await;
    }
}
