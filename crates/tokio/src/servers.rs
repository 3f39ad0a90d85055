//! The client of the core for the servers of one pool.

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use tunnel_balancer_core::{
    AttemptInfo, Failure, HttpClient, Pool, ProbeRequest, Server, UpstreamError as _, run_probes,
};

use crate::clock::TokioClock;
use crate::probes;
use crate::upstream::{SendError, Upstream, header, read_prefix};
use crate::upstream_request::UpstreamRequest;

/// The client for the servers of one pool.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The connections to them.
    pub upstream: Arc<Upstream>,
    /// The pool.
    pub pool: Arc<Pool>,
    /// The clock of the pool.
    pub clock: TokioClock,
}

impl HttpClient for Servers {
    type Request = UpstreamRequest;
    type Response = Response<Incoming>;
    type Error = SendError;

    async fn send(
        &self,
        request: &UpstreamRequest,
        server: &Server,
        _: AttemptInfo,
    ) -> Result<Response<Incoming>, SendError> {
        self.upstream.send(request, server).await
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        self.upstream.send_probe(server, probe).await
    }

    async fn connect(&self, _: &Server, address: &str) -> Result<(), Failure> {
        Upstream::connect(address).await.map_err(|error| error.failure())
    }

    fn start_probes(&self) {
        probes::start(&self.pool, &self.clock, |lease| {
            let servers = self.clone();
            async move { run_probes(&servers.pool, &servers, &servers.clock, lease).await }
        });
    }

    fn status(&self, response: &Response<Incoming>) -> StatusCode {
        response.status()
    }

    fn header(&self, response: &Response<Incoming>, name: &str) -> Option<String> {
        header(response, name)
    }

    async fn read_prefix(&self, response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, SendError> {
        read_prefix(response.into_body(), limit).await
    }

    fn discard(&self, response: Response<Incoming>) {
        // hyper reuses the connection if the body has arrived, and closes it otherwise.
        drop(response);
    }

    fn is_body_sent(&self, request: &UpstreamRequest) -> bool {
        request.is_body_sent()
    }
}
