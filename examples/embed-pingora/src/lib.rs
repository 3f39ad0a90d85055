//! A proxy on Pingora, whose callbacks drive a [`Reservation`].

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session};
use tunnel_balancer_core::http::header::CONTENT_LENGTH;
use tunnel_balancer_core::{Body, Clock as _, Failure, Outcome, Pool, RequestMeta, Reservation};
use tunnel_balancer_tokio::{Balancer, TokioClock};

/// The proxy.
pub struct Proxy {
    /// The pool, whose clock is `clock`.
    pub pool: Arc<Pool>,
    /// The clock of the pool.
    pub clock: TokioClock,
}

impl Proxy {
    fn report(&self, request: &mut Option<Reservation>, outcome: Outcome) -> bool {
        request.as_mut().is_some_and(|request| request.report(outcome, self.clock.now()))
    }

    /// Reports a failure, and decides whether the request is sent again.
    fn on_failure(&self, request: &mut Option<Reservation>, failure: Failure, mut e: Box<Error>) -> Box<Error> {
        e.set_retry(self.report(request, Outcome::Failed(failure)));
        match request.as_ref().and_then(Reservation::reply) {
            Some(reply) => Error::because(ErrorType::HTTPStatus(reply.status().as_u16()), "no server responded", e),
            None => e,
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Option<Reservation>;

    fn new_ctx(&self) -> Option<Reservation> {
        None
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let request = request.get_or_insert_with(|| Reservation::new(Arc::clone(&self.pool), meta(session)));
        let read_timeout = self.pool.service().retry.liveness_check_after;
        let server = request.select(self.clock.now());
        let url = &server.map_err(|reply| Error::new(ErrorType::HTTPStatus(reply.status().as_u16())))?.url;
        let mut peer = HttpPeer::new(url.socket_address(), url.scheme() == "https", url.host().to_owned());
        peer.options.read_timeout = read_timeout;
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
        if response.status.is_informational() || !self.report(request, Outcome::Status(response.status)) {
            return Ok(());
        }
        let mut retry = Error::new_up(ErrorType::HTTPStatus(response.status.as_u16()));
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
        let now = self.clock.now();
        let failure = match e.etype() {
            ErrorType::ReadTimedout => request.as_mut().and_then(|it| it.check(true, now)).unwrap_or(Failure::Timeout),
            _ => Failure::ConnectionLost,
        };
        // The response filter has decided about a response before.
        let mut e = if e.retry() { e } else { self.on_failure(request, failure, e) };
        let is_replayable = !session.as_ref().retry_buffer_truncated();
        e.set_retry(e.retry() && is_replayable);
        e
    }
}

fn meta(session: &Session) -> RequestMeta {
    /// The size of the bodies that Pingora can send again.
    const REPLAYABLE: u64 = 64 * 1024;

    let head = session.req_header();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let fits = if head.method.is_safe() { 0 } else { length.unwrap_or(u64::MAX) } <= REPLAYABLE;
    let body = if fits { Body::Replayable } else { Body::Once };
    RequestMeta { body, ..RequestMeta::new(head.method.clone()) }
}

/// The probes, which run until the proxy shuts down.
pub struct Probes(pub Balancer);

#[async_trait]
impl BackgroundService for Probes {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let _prober = self.0.keep_probing();
        // An error means that the sender has ended.
        let _ = shutdown.changed().await;
    }
}
