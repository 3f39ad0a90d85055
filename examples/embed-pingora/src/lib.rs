//! A proxy on Pingora, whose callbacks drive a [`Reservation`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session};
use tokio::net::lookup_host;
use tunnel_balancer_core::{Clock as _, Failure, Outcome, RequestMeta, Reservation};
use tunnel_balancer_tokio::Balancer;

/// The proxy, and a service that probes its servers.
pub struct Proxy(pub Balancer);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Reservation;

    fn new_ctx(&self) -> Reservation {
        Reservation::new(Arc::clone(self.0.pool()), RequestMeta::read())
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        // Pingora can send bodies of up to 64 KiB again.
        request.set_request(RequestMeta::from_head(session.req_header(), 64 * 1024));
        let server = request.select(self.0.clock().now());
        let url = &server.map_err(|reply| Error::new(ErrorType::HTTPStatus(reply.status().as_u16())))?.url;
        let address = lookup_host(url.socket_address()).await.ok().and_then(|mut addresses| addresses.next());
        // A connect to port 0 fails, as one to a name without an address should.
        let address = address.unwrap_or(SocketAddr::from(([0; 4], 0)));
        let mut peer = HttpPeer::new(address, url.scheme() == "https", url.host().to_owned());
        peer.options.total_connection_timeout = Some(Duration::from_millis(2500));
        peer.options.read_timeout = Some(request.response_timeout(session.is_body_empty(), self.0.clock().now()));
        // For a server that does not read a body.
        peer.options.write_timeout = peer.options.read_timeout;
        Ok(Box::new(peer))
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, request: &mut Self::CTX, mut e: Box<Error>) -> Box<Error> {
        // An internal error: no descriptor or port is left.
        let failure = if *e.etype() == ErrorType::InternalError { Failure::Local } else { Failure::Connect };
        e.set_retry(request.report(failure, self.0.clock().now()));
        e
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Self::CTX,
    ) -> Result<()> {
        let is_dropped = request.report(Outcome::Status(response.status), self.0.clock().now());
        if is_dropped { Err(Error::new_up(ErrorType::HTTPStatus(response.status.as_u16()))) } else { Ok(()) }
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        request: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        let failure = match (e.esource(), e.etype()) {
            (ErrorSource::Downstream, _) => Failure::ClientAborted,
            (_, ErrorType::ReadTimedout) if !session.is_body_done() => Failure::ClientAborted,
            (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Failure::Timeout,
            // The server may have closed it as idle.
            _ if reused && session.req_header().method.is_idempotent() => Failure::Declined,
            _ => Failure::ConnectionLost,
        };
        // A body is truncated if it was too large to be kept.
        e.set_retry(request.report(failure, self.0.clock().now()) && !session.as_ref().retry_buffer_truncated());
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
