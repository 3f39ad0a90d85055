//! The HTTP client for servers: connection pools, timeouts and the classification of errors.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HeaderName;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tunnel_balancer_core::{
    self as core, AttemptInfo, Clock, FailedAttempt, Failure, Health, HealthCheck, HttpClient, LogEntry, Pool,
    ProbeRequest, ProbeResponse, Server, UpstreamError,
};

use crate::clock::TokioClock;
use crate::connection_auth;
use crate::error::{self, is_local};
use crate::h2_streams::StreamSlots;
use crate::log;
use crate::request_body::RequestBody;
use crate::upstream_request::UpstreamRequest;

/// Connections to all servers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// Pools that use HTTP/2 if the server offers it. Their number only grows.
    pools: Arc<Mutex<Vec<Connections>>>,
    slots: StreamSlots,
    /// The connector of these pools.
    any: Connector,
    /// The settings of these pools.
    settings: Builder,
    /// The pool for WebSockets, which start on HTTP/1.1.
    http1: Connections,
}

pub(crate) type Connections = Client<Connector, RequestBody>;
type Connector = HttpsConnector<HttpConnector>;

impl Upstream {
    /// The connect timeout. It is shorter than the core's response timeouts, so that a machine that
    /// is off is distinguished from a slow one.
    const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);

    /// The time for which an idle connection is kept. Many servers close it after 5 s (the default
    /// of Node and Apache), and a request that is sent at that moment is lost.
    const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

    /// The HTTP/2 flow-control window of a response of the first pool, in bytes: enough for 25 MB/s
    /// at 20 ms.
    const WIDE_WINDOW: u32 = 512 * 1024;

    /// The window of the other pools: with thousands of responses that are not read, the memory
    /// stays bounded.
    const NARROW_WINDOW: u32 = 16 * 1024;

    /// The maximum number of header fields of an HTTP/1 response. Their total size is limited to
    /// 400 KB.
    const RESPONSE_FIELDS: usize = 512;

    /// How often a request is sent again that a server did not process.
    const RESENDS: u32 = 5;

    /// Creates a client without connections. It keeps at most `max_idle` idle ones to a server.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(max_idle: usize) -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Self::CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = || Ok::<_, std::io::Error>(HttpsConnectorBuilder::new().with_native_roots()?.https_or_http());
        let any = https()?.enable_all_versions().wrap_connector(tcp.clone());
        let http1 = https()?.enable_http1().wrap_connector(tcp);
        let mut client = Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(Self::POOL_IDLE_TIMEOUT);
        client.pool_max_idle_per_host(max_idle);
        // Detects connections that a router has dropped, before requests and probes are lost on
        // them.
        client.http2_keep_alive_interval(Duration::from_secs(10)).http2_keep_alive_timeout(Duration::from_secs(5));
        client.http2_keep_alive_while_idle(true);
        client.http1_preserve_header_case(true);
        // Accepts the syntax that browsers and other proxies accept. An error would count as a
        // failure of the server.
        client.http1_max_headers(Self::RESPONSE_FIELDS);
        client.http1_allow_spaces_after_header_name_in_responses(true);
        client.http1_allow_obsolete_multiline_headers_in_responses(true);
        let http1 = client.build(http1);
        Ok(Self { any, http1, settings: client, pools: Arc::default(), slots: StreamSlots::default() })
    }

    /// Sends a request over HTTP/1.1 or HTTP/2. The extensions of the response contain its stream
    /// slot. A request that the server did not process is sent again on another connection.
    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, ClientError> {
        let is_http2_offered = request.uri().scheme() == Some(&Scheme::HTTPS);
        if is_http2_offered && request.body().is_replayable() {
            for _ in 0..Self::RESENDS {
                match self.send_once(request.clone(), true).await {
                    Err(error) if error::is_unprocessed(&error) => {}
                    sent => return sent,
                }
            }
        }
        self.send_once(request, is_http2_offered).await
    }

    async fn send_once(
        &self,
        request: Request<RequestBody>,
        is_http2_offered: bool,
    ) -> Result<Response<Incoming>, ClientError> {
        let Some(server) = request.uri().authority().filter(|_| is_http2_offered) else {
            return connection_auth::send(&self.pool(0), request, || ()).await;
        };
        let mut slot = self.slots.take(server);
        slot.wait().await;
        let mut response = connection_auth::send(&self.pool(slot.pool), request, || slot.on_connected()).await?;
        response.extensions_mut().insert(Arc::new(slot));
        Ok(response)
    }

    fn pool(&self, number: usize) -> Connections {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        while pools.len() <= number {
            let window = if pools.is_empty() { Self::WIDE_WINDOW } else { Self::NARROW_WINDOW };
            let mut settings = self.settings.clone();
            settings.http2_initial_stream_window_size(window);
            // The sum of its streams, so that clients that do not read cannot block others.
            settings.http2_initial_connection_window_size(StreamSlots::STREAMS_PER_CONNECTION as u32 * window);
            pools.push(settings.build(self.any.clone()));
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
    /// The body of the response ended early.
    ResponseAborted,
    /// The connection failed.
    Failed(ClientError),
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

    fn detail(&self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(error::cause(error).unwrap_or_else(|| error::describe(error))),
            Self::ResponseAborted => Some("response aborted".to_owned()),
            Self::InvalidRequest | Self::ClientAborted => None,
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

/// The client for the servers of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) clock: TokioClock,
}

impl Servers {
    fn is_unhealthy(&self, name: &str) -> bool {
        let status = self.pool.update(|state| state.status(self.clock.now()));
        let servers = self.pool.service().servers().iter();
        servers.zip(status).any(|(server, status)| server.name == name && status.health == Health::Unhealthy)
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
        let sent = if request.upgrade {
            connection_auth::send(&self.upstream.http1, prepared, || ()).await
        } else {
            self.upstream.send(prepared).await
        };
        sent.map_err(|error| if request.is_aborted() { SendError::ClientAborted } else { SendError::Failed(error) })
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Response<Incoming>, SendError> {
        self.upstream.send_probe(probe).await.inspect_err(|error| {
            let (service, server) = (self.pool.service(), server.name.as_str());
            let unhealthy = self.is_unhealthy(server);
            log::emit(&LogEntry::probe_failed(service, server, unhealthy, error.failure(), error.detail()));
        })
    }

    fn on_attempt_failed(&self, request: &UpstreamRequest, attempt: FailedAttempt) {
        if let Some(id) = request.id() {
            log::emit(&LogEntry::attempt_failed(&attempt, self.pool.service(), id));
        }
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(self.clock.now())) {
            let servers = self.clone();
            tokio::spawn(async move {
                core::run_probes(&servers.pool, &servers, &servers.clock, lease).await;
                log::emit_transitions(&servers.pool);
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
