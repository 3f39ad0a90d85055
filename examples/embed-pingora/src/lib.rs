//! A proxy on Pingora, whose callbacks drive a [`Reservation`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session};
use tunnel_balancer_core::http::StatusCode;
use tunnel_balancer_core::{Clock as _, Failure, Outcome, RequestMeta, Reservation, Server};
use tunnel_balancer_tokio::Balancer;

/// The proxy, and a service that probes its servers.
#[derive(Clone)]
pub struct Proxy(pub Balancer);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Reservation;

    fn new_ctx(&self) -> Reservation {
        Reservation::new(Arc::clone(self.0.pool()), RequestMeta::read())
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let (head, now) = (session.req_header(), self.0.clock().now());
        // Pingora can send bodies of up to 64 KiB again.
        request.set_request(RequestMeta::with_headers(head.method.clone(), &head.headers, 64 * 1024));
        let Ok(Server { url, .. }) = request.select(now) else {
            let status = request.reply().map_or(StatusCode::BAD_GATEWAY, |reply| reply.status());
            return Err(Error::new(ErrorType::HTTPStatus(status.as_u16())));
        };
        let mut peer = HttpPeer::new(url.socket_address(), url.scheme() == "https", url.host().to_owned());
        peer.options.read_timeout = Some(request.response_timeout(now));
        peer.options.total_connection_timeout = Some(Duration::from_millis(2500));
        Ok(Box::new(peer))
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, request: &mut Self::CTX, mut e: Box<Error>) -> Box<Error> {
        request.report(Outcome::Failed(Failure::Connect), self.0.clock().now());
        e.set_retry(true);
        e
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Self::CTX,
    ) -> Result<()> {
        let is_retried = request.report(Outcome::Status(response.status), self.0.clock().now());
        if is_retried { Err(Error::new_up(ErrorType::HTTPStatus(response.status.as_u16()))) } else { Ok(()) }
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        request: &mut Self::CTX,
        _: bool,
    ) -> Box<Error> {
        let failure = match (e.esource(), e.etype()) {
            (ErrorSource::Downstream, _) => Failure::ClientAborted,
            (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Failure::Timeout,
            _ => Failure::ConnectionLost,
        };
        request.report(Outcome::Failed(failure), self.0.clock().now());
        // Without a response, `upstream_peer` selects another server, or returns the reply.
        e.set_retry(session.response_written().is_none() && !session.as_ref().retry_buffer_truncated());
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
