//! The client for servers, with the entries of the log.

use std::io;
use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use tunnel_balancer_core::{
    self as core, AttemptInfo, Clock as _, FailedAttempt, Failure, Health, HttpClient, LogEntry, Pool, ProbeRequest,
    Server, UpstreamError as _,
};
use tunnel_balancer_tokio::TokioClock;
use tunnel_balancer_tokio::host::{self, SendError, UpstreamRequest};

use crate::access::LastAttempt;
use crate::log;
use crate::transitions::Transitions;

/// Connections to all servers, and the state changes of these.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    connections: Arc<host::Upstream>,
    pub(crate) transitions: Transitions,
}

impl Upstream {
    /// Creates a client without connections. It keeps at most `max_idle` idle ones to a server.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(max_idle: usize) -> io::Result<Self> {
        Ok(Self { connections: Arc::new(host::Upstream::new(max_idle)?), transitions: Transitions::new() })
    }

    /// Forgets the certificates that are trusted, so that the files are read again.
    pub(crate) fn forget_certificates(&self) {
        self.connections.forget_certificates();
    }

    /// Returns the client for the servers of a pool.
    pub(crate) fn servers(&self, pool: &Arc<Pool>, clock: TokioClock) -> Servers {
        let connections = Arc::clone(&self.connections);
        let client = host::Servers { upstream: connections, pool: Arc::clone(pool), clock };
        Servers { client, transitions: self.transitions.clone() }
    }
}

/// A client's request, and the record of its attempts.
#[derive(Debug)]
pub(crate) struct LoggedRequest {
    pub(crate) request: UpstreamRequest,
    pub(crate) last_attempt: LastAttempt,
}

/// The client for the servers of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    client: host::Servers,
    pub(crate) transitions: Transitions,
}

impl Servers {
    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.client.pool
    }

    pub(crate) const fn clock(&self) -> &TokioClock {
        &self.client.clock
    }

    pub(crate) const fn connections(&self) -> &Arc<host::Upstream> {
        &self.client.upstream
    }

    fn log_failed_probe(&self, server: &Server, failure: Failure, detail: Option<String>) {
        let (service, server) = (self.pool().service(), server.name.as_str());
        log::emit(&LogEntry::probe_failed(service, server, self.is_unhealthy(server), failure, detail));
    }

    fn is_unhealthy(&self, name: &str) -> bool {
        let service = self.pool().service();
        let server = service.all().iter().find(|id| service.server(*id).is_some_and(|server| server.name == name));
        server.is_some_and(|id| self.pool().update(|state| state.health(id)) == Health::Unhealthy)
    }
}

impl HttpClient for Servers {
    type Request = LoggedRequest;
    type Response = Response<Incoming>;
    type Error = SendError;

    async fn send(
        &self,
        LoggedRequest { request, last_attempt }: &LoggedRequest,
        server: &Server,
        attempt: AttemptInfo,
    ) -> Result<Response<Incoming>, SendError> {
        last_attempt.set(attempt.server, attempt.number);
        self.client.send(request, server, attempt).await
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        let sent = self.client.send_probe(server, probe).await;
        sent.inspect_err(|error| self.log_failed_probe(server, error.failure(), error.detail()))
    }

    async fn connect(&self, server: &Server, address: &str) -> Result<(), Failure> {
        let connected = host::Upstream::connect(address).await;
        connected.map_err(|error| {
            self.log_failed_probe(server, error.failure(), error.detail());
            error.failure()
        })
    }

    fn on_attempt_failed(&self, request: &LoggedRequest, attempt: &FailedAttempt) {
        if let Some(id) = request.request.id() {
            log::emit(&LogEntry::attempt_failed(attempt, self.pool().service(), id));
        }
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool().update(|state| state.next_probe(self.clock().now())) {
            let servers = self.clone();
            tokio::spawn(async move {
                core::run_probes(servers.pool(), &servers, servers.clock(), lease).await;
                servers.transitions.emit(servers.pool());
            });
        }
    }

    fn status(&self, response: &Response<Incoming>) -> StatusCode {
        self.client.status(response)
    }

    fn header(&self, response: &Response<Incoming>, name: &str) -> Option<String> {
        self.client.header(response, name)
    }

    async fn read_prefix(&self, response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, SendError> {
        self.client.read_prefix(response, limit).await
    }

    fn discard(&self, response: Response<Incoming>) {
        self.client.discard(response);
    }

    fn is_body_sent(&self, request: &LoggedRequest) -> bool {
        self.client.is_body_sent(&request.request)
    }
}
