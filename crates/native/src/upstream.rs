//! Sending to servers: connections kept and reused, and what their failures mean.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HeaderName;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::json;
use tunnel_balancer_core::{
    self as core, AttemptInfo, Clock, Failure, HealthCheck, HttpClient, Pool, ProbeRequest, ProbeResponse, Server,
    UpstreamError,
};

use crate::body::RequestBody;
use crate::clock::TokioClock;
use crate::connection_auth;
use crate::error::is_local;
use crate::log::Log;
use crate::outgoing::Outgoing;
use crate::seats::Seats;

/// Connections to all servers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// By which HTTP/2 is spoken where the server offers it; as many as were ever needed at a time.
    pools: Arc<Mutex<Vec<Connections>>>,
    seats: Seats,
    /// What these are made of.
    any: Connector,
    settings: Builder,
    /// WebSockets begin on HTTP/1.1.
    http1: Connections,
}

pub(crate) type Connections = Client<Connector, RequestBody>;
type Connector = HttpsConnector<HttpConnector>;

impl Upstream {
    /// A connection attempt takes no longer. Below the core's patience with a slow answer, so that
    /// a machine that is off is told from one that is slow.
    const CONNECT: Duration = Duration::from_millis(2500);

    /// Many servers close a connection that was silent for 5 s (Node's default, Apache's): to reuse
    /// one at that very moment loses a request.
    const KEEP: Duration = Duration::from_secs(4);

    /// What of one answer on HTTP/2 may wait here for its client, in bytes: enough for 25 MB/s at
    /// 20 ms. The connection has room for as many as go by it; with less, clients that take nothing
    /// would hold up all others.
    const STREAM: u32 = 512 * 1024;

    /// Header fields of an HTTP/1 response. The size of the head has its own limit, 400 KB.
    const RESPONSE_FIELDS: usize = 512;

    /// # Errors
    /// When the machine has no root certificates.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Self::CONNECT));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = || Ok::<_, std::io::Error>(HttpsConnectorBuilder::new().with_native_roots()?.https_or_http());
        let any = https()?.enable_all_versions().wrap_connector(tcp.clone());
        let http1 = https()?.enable_http1().wrap_connector(tcp);
        let mut client = Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(Self::KEEP);
        // A connection that a router has forgotten takes every request on it down, and the probe as
        // well.
        client.http2_keep_alive_interval(Duration::from_secs(10)).http2_keep_alive_timeout(Duration::from_secs(5));
        client.http2_keep_alive_while_idle(true);
        client.http2_initial_stream_window_size(Self::STREAM);
        client.http2_initial_connection_window_size(Seats::MOST as u32 * Self::STREAM);
        // Syntax that browsers and other proxies accept. An error would count against the server.
        client.http1_max_headers(Self::RESPONSE_FIELDS);
        client.http1_allow_spaces_after_header_name_in_responses(true);
        client.http1_allow_obsolete_multiline_headers_in_responses(true);
        let http1 = client.build(http1);
        Ok(Self { any, http1, settings: client, pools: Arc::default(), seats: Seats::default() })
    }

    /// Sends a request by a connection of any version. The answer has its seat among its
    /// extensions.
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let is_http2_offered = request.uri().scheme() == Some(&Scheme::HTTPS);
        let seat = request.uri().authority().filter(|_| is_http2_offered).map(|server| self.seats.take(server));
        let pool = self.pool(seat.as_ref().map_or(0, |seat| seat.pool));
        let mut response = connection_auth::send(&pool, request).await?;
        if let Some(seat) = seat {
            response.extensions_mut().insert(Arc::new(seat));
        }
        Ok(response)
    }

    fn pool(&self, number: usize) -> Connections {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        while pools.len() <= number {
            pools.push(self.settings.build(self.any.clone()));
        }
        pools[number].clone()
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Its target or a header is invalid.
    InvalidRequest,
    /// The client did not send the whole of it.
    ClientAborted,
    /// The body of the response ended too soon.
    ResponseAborted,
    Failed(hyper_util::client::legacy::Error),
}

impl UpstreamError for SendError {
    fn failure(&self) -> Failure {
        match self {
            Self::InvalidRequest => Failure::InvalidRequest,
            Self::ClientAborted => Failure::ClientAborted,
            Self::ResponseAborted => Failure::ConnectionLost,
            Self::Failed(error) => failure(error),
        }
    }
}

impl Upstream {
    /// Sends the request of a health check.
    async fn send_probe(&self, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        let invalid = |_| SendError::InvalidRequest;
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = probe.method;
        *request.uri_mut() = probe.url.parse().map_err(|_| SendError::InvalidRequest)?;
        for (name, value) in probe.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SendError::InvalidRequest)?;
            request.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(invalid)?);
        }
        self.send(request).await.map_err(SendError::Failed)
    }

    /// Runs a health check once.
    pub(crate) async fn probe_once(&self, server: &Server, check: &HealthCheck) -> Result<ProbeResponse, SendError> {
        let response = self.send_probe(ProbeRequest::new(check, server)).await?;
        let headers = ProbeResponse::read(check, response.status(), |name| header(&response, name));
        if check.expect_body.is_none() {
            return Ok(headers);
        }
        let body = read_prefix(response.into_body(), HealthCheck::BODY_LIMIT).await?;
        Ok(headers.with_body(&body))
    }
}

/// The servers of one pool as the core's client.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) clock: TokioClock,
    pub(crate) log: Log,
}

impl HttpClient for Servers {
    type Request = Outgoing;
    type Response = Response<Incoming>;
    type Error = SendError;

    async fn send(
        &self,
        request: &Outgoing,
        server: &Server,
        attempt: AttemptInfo,
    ) -> Result<Response<Incoming>, SendError> {
        let addressed = request.addressed_to(server).map_err(|_| SendError::InvalidRequest)?;
        let sent = if request.upgrade {
            connection_auth::send(&self.upstream.http1, addressed).await
        } else {
            self.upstream.send(addressed).await
        };
        sent.map_err(|error| {
            let details = json!({
                "service": self.pool.service().name(),
                "server": server.name,
                "attempt": attempt.number,
                "reason": reason(&error),
            });
            self.log.event("attempt failed", details);
            if request.is_aborted() { SendError::ClientAborted } else { SendError::Failed(error) }
        })
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        self.upstream.send_probe(probe).await
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(self.clock.now())) {
            let servers = self.clone();
            tokio::spawn(async move {
                core::run_probes(&servers.pool, &servers, &servers.clock, lease).await;
                servers.log.changes(&servers.pool);
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
        // hyper reads what has come already and then reuses the connection, or closes it.
        drop(response);
    }

    fn is_body_sent(&self, request: &Outgoing) -> bool {
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

/// Without a connection nothing was delivered. After that nobody can know.
fn failure(error: &hyper_util::client::legacy::Error) -> Failure {
    match error.is_connect() {
        true if is_local(error) => Failure::Local,
        true => Failure::Connect,
        false => Failure::ConnectionLost,
    }
}

/// An error and what caused it, for the log.
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
