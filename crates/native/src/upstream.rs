//! The HTTP client for servers: requests, probes and the classification of errors.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderName;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as ClientError;
use tokio::net::TcpStream;
use tunnel_balancer_core::{
    self as core, AttemptInfo, Clock, FailedAttempt, Failure, Health, HealthCheck, HttpClient, LogEntry, Pool,
    ProbeKind, ProbeRequest, ProbeResponse, Server, ServerTls, UpstreamError,
};

use crate::clock::TokioClock;
use crate::error::{self, is_local};
use crate::log;
use crate::request_body::RequestBody;
use crate::transitions::Transitions;
use crate::transport::Transport;
use crate::upstream_request::UpstreamRequest;

/// Connections to all servers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// For servers without settings of their own.
    default: Transport,
    /// For other servers, by their settings.
    custom: Arc<Mutex<BTreeMap<ServerTls, Transport>>>,
    /// The number of idle connections to a server that are kept.
    max_idle: usize,
    pub(crate) transitions: Transitions,
}

impl Upstream {
    /// Creates a client without connections. It keeps at most `max_idle` idle ones to a server.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(max_idle: usize) -> io::Result<Self> {
        let default = Transport::new(&ServerTls::default(), max_idle).map_err(io::Error::other)?;
        Ok(Self { default, custom: Arc::default(), max_idle, transitions: Transitions::new() })
    }

    /// Forgets the certificates that are trusted, so that the files are read again.
    pub(crate) fn forget_certificates(&self) {
        self.custom.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the connections for a server.
    fn transport(&self, server: &Server) -> Result<Transport, SendError> {
        if server.tls == ServerTls::default() {
            return Ok(self.default.clone());
        }
        let mut custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = custom.get(&server.tls) {
            return Ok(transport.clone());
        }
        let transport = Transport::new(&server.tls, self.max_idle).map_err(SendError::Certificates)?;
        custom.insert(server.tls.clone(), transport.clone());
        Ok(transport)
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Its target or a header is invalid.
    InvalidRequest,
    /// The client did not send the whole of it.
    ClientAborted,
    /// The body of the response ended early.
    ResponseAborted,
    /// The certificates that are trusted cannot be read.
    Certificates(String),
    /// No TCP connection could be opened.
    NotConnected(io::Error),
    /// The connection failed.
    Failed(ClientError),
}

impl UpstreamError for SendError {
    fn failure(&self) -> Failure {
        match self {
            Self::InvalidRequest => Failure::InvalidRequest,
            Self::ClientAborted => Failure::ClientAborted,
            Self::ResponseAborted => Failure::ConnectionLost,
            Self::Certificates(_) => Failure::Connect,
            Self::NotConnected(error) if is_local(error) => Failure::Local,
            Self::NotConnected(_) => Failure::Connect,
            Self::Failed(error) => failure(error),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(error::cause(error).unwrap_or_else(|| error::describe(error))),
            Self::Certificates(error) => Some(error.clone()),
            Self::NotConnected(error) => Some(error::cause(error).unwrap_or_else(|| error::describe(error))),
            Self::ResponseAborted => Some("response aborted".to_owned()),
            Self::InvalidRequest | Self::ClientAborted => None,
        }
    }
}

impl Upstream {
    /// Opens a TCP connection and closes it.
    async fn connect(address: &str) -> io::Result<()> {
        TcpStream::connect(address).await.map(drop)
    }

    /// Sends the request of a health check.
    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        let invalid = |_| SendError::InvalidRequest;
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = probe.method;
        *request.uri_mut() = probe.url.parse().map_err(|_| SendError::InvalidRequest)?;
        for (name, value) in probe.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SendError::InvalidRequest)?;
            request.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(invalid)?);
        }
        self.transport(server)?.send(request).await.map_err(SendError::Failed)
    }

    /// Runs a health check once.
    pub(crate) async fn probe_once(
        &self,
        server: &Server,
        check: &HealthCheck,
        public_host: &str,
    ) -> Result<ProbeResponse, SendError> {
        if check.kind == ProbeKind::Tcp {
            Self::connect(&check.address(server)).await.map_err(SendError::NotConnected)?;
            return Ok(ProbeResponse::new(StatusCode::OK));
        }
        let response = self.send_probe(server, ProbeRequest::new(check, server, public_host)).await?;
        let headers = ProbeResponse::read(check, response.status(), |name| header(&response, name));
        if check.expect_body.is_none() {
            return Ok(headers);
        }
        let body = read_prefix(response.into_body(), HealthCheck::BODY_LIMIT).await?;
        Ok(headers.with_body(&body))
    }
}

/// The client for the servers of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) clock: TokioClock,
}

impl Servers {
    fn log_failed_probe(&self, server: &Server, error: &SendError) {
        let (service, server) = (self.pool.service(), server.name.as_str());
        let unhealthy = self.is_unhealthy(server);
        log::emit(&LogEntry::probe_failed(service, server, unhealthy, error.failure(), error.detail()));
    }

    fn is_unhealthy(&self, name: &str) -> bool {
        let service = self.pool.service();
        let server = service.all().iter().find(|id| service.server(*id).is_some_and(|server| server.name == name));
        server.is_some_and(|id| self.pool.update(|state| state.health(id)) == Health::Unhealthy)
    }
}

impl HttpClient for Servers {
    type Request = UpstreamRequest;
    type Response = Response<Incoming>;
    type Error = SendError;

    async fn send(
        &self,
        request: &UpstreamRequest,
        server: &Server,
        attempt: AttemptInfo,
    ) -> Result<Response<Incoming>, SendError> {
        request.on_attempt(&server.name, attempt.number);
        let prepared = request.prepare_for(server).map_err(|_| SendError::InvalidRequest)?;
        let transport = self.upstream.transport(server)?;
        let sent = if request.upgrade { transport.send_http1(prepared).await } else { transport.send(prepared).await };
        sent.map_err(|error| if request.is_aborted() { SendError::ClientAborted } else { SendError::Failed(error) })
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        self.upstream.send_probe(server, probe).await.inspect_err(|error| self.log_failed_probe(server, error))
    }

    async fn connect(&self, server: &Server, address: &str) -> Result<(), Failure> {
        let connected = Upstream::connect(address).await.map_err(SendError::NotConnected);
        connected.inspect_err(|error| self.log_failed_probe(server, error)).map_err(|error| error.failure())
    }

    fn on_attempt_failed(&self, request: &UpstreamRequest, attempt: &FailedAttempt) {
        if let Some(id) = request.id() {
            log::emit(&LogEntry::attempt_failed(attempt, self.pool.service(), id));
        }
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(self.clock.now())) {
            let servers = self.clone();
            tokio::spawn(async move {
                core::run_probes(&servers.pool, &servers, &servers.clock, lease).await;
                servers.upstream.transitions.emit(&servers.pool);
            });
        }
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

fn header(response: &Response<Incoming>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Reads the first `limit` bytes of a body, or all of a shorter one.
async fn read_prefix(mut body: Incoming, limit: usize) -> Result<Vec<u8>, SendError> {
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame.map_err(|_| SendError::ResponseAborted)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Classifies an error. Without a connection nothing was delivered; after that it is unknown,
/// unless a response arrived that cannot be parsed.
fn failure(error: &ClientError) -> Failure {
    match error.is_connect() {
        true if is_local(error) => Failure::Local,
        true => Failure::Connect,
        false if error::is_invalid_response(error) => Failure::InvalidResponse,
        false => Failure::ConnectionLost,
    }
}
