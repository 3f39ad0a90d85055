//! The HTTP client for servers: requests, probes and the classification of errors.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as ClientError;
use tokio::net::TcpStream;
use tunnel_balancer_core::{
    Failure, HealthCheck, ProbeKind, ProbeRequest, ProbeResponse, Server, ServerTls, UpstreamError,
};

use crate::error::{self, is_local};
use crate::request_body::RequestBody;
use crate::transport::Transport;
use crate::upstream_request::UpstreamRequest;

/// Connections to all servers.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// For servers without settings of their own.
    default: Arc<Transport>,
    /// For other servers, by their settings.
    custom: Arc<Mutex<BTreeMap<ServerTls, Arc<Transport>>>>,
    /// The number of idle connections to a server that are kept.
    max_idle: usize,
}

impl Upstream {
    /// Creates a client without connections. It keeps at most `max_idle` idle ones to a server.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub fn new(max_idle: usize) -> io::Result<Self> {
        let default = Transport::new(&ServerTls::default(), max_idle).map_err(io::Error::other)?;
        Ok(Self { default: Arc::new(default), custom: Arc::default(), max_idle })
    }

    /// Forgets the certificates that are trusted, so that the files are read again.
    pub fn forget_certificates(&self) {
        self.custom.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the connections for a server.
    fn transport(&self, server: &Server) -> Result<Arc<Transport>, SendError> {
        if server.tls == ServerTls::default() {
            return Ok(Arc::clone(&self.default));
        }
        let mut custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = custom.get(&server.tls) {
            return Ok(Arc::clone(transport));
        }
        let transport = Arc::new(Transport::new(&server.tls, self.max_idle).map_err(SendError::Certificates)?);
        custom.insert(server.tls.clone(), Arc::clone(&transport));
        Ok(transport)
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub enum SendError {
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
            Self::Failed(error) => error::failure(error),
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
    pub async fn connect(address: &str) -> Result<(), SendError> {
        TcpStream::connect(address).await.map(drop).map_err(SendError::NotConnected)
    }

    /// Sends a request to a server.
    pub async fn send(&self, request: &UpstreamRequest, server: &Server) -> Result<Response<Incoming>, SendError> {
        let prepared = request.prepare_for(server).map_err(|_| SendError::InvalidRequest)?;
        let transport = self.transport(server)?;
        let sent = if request.upgrade { transport.send_http1(prepared).await } else { transport.send(prepared).await };
        sent.map_err(|error| if request.is_aborted() { SendError::ClientAborted } else { SendError::Failed(error) })
    }

    /// Sends the request of a health check.
    pub async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        let request: Request<RequestBody> = probe.try_into().map_err(|_| SendError::InvalidRequest)?;
        self.transport(server)?.send(request).await.map_err(SendError::Failed)
    }

    /// Runs a health check once.
    pub async fn probe_once(
        &self,
        server: &Server,
        check: &HealthCheck,
        public_host: &str,
    ) -> Result<ProbeResponse, SendError> {
        if check.kind == ProbeKind::Tcp {
            Self::connect(&check.address(server)).await?;
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

/// Returns the value of a header field.
pub(crate) fn header(response: &Response<Incoming>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Reads the first `limit` bytes of a body, or all of a shorter one.
pub(crate) async fn read_prefix(mut body: Incoming, limit: usize) -> Result<Vec<u8>, SendError> {
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
