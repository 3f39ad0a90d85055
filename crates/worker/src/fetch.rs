//! The HTTP client for servers: the runtime's `fetch`.
//!
//! The runtime does not report why a `fetch` failed: "Network connection lost." stands for a
//! refused connection and for a reset before or after the request was read. So an exception leaves
//! open whether the application saw the request. The one exception is the limit of subrequests.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode};
use tunnel_balancer_config::Subrequests;
use tunnel_balancer_core::headers::{self, HeaderFields};
use tunnel_balancer_core::{
    self as core, AttemptInfo, Body, Clock, FailedAttempt, Failure, HttpClient, LogEntry, Pool, ProbeRequest,
    ProxiedRequest, ReplayBuffer, RequestMeta, Server, Service, UpstreamError,
};
use tunnel_balancer_state::ProbeRun;
use worker::js_sys::{ArrayBuffer, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::Context;
use worker::{Env, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::fields::Fields;
use crate::pending::{Received, Sent, Value};
use crate::services::Loaded;
use crate::{glue, log, sharing, task};

/// The pause after which the rest of a body is streamed, in milliseconds.
const PAUSE: u32 = ReplayBuffer::PAUSE.as_millis() as u32;

/// A client's request as it arrived, with what is read of it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) request: web_sys::Request,
    pub(crate) method: String,
    pub(crate) url: Rc<str>,
    pub(crate) fields: Fields,
    has_body: bool,
}

impl Incoming {
    pub(crate) fn new(request: web_sys::Request) -> Self {
        let description = glue::describe_request(&request);
        let mut parts = description.splitn(4, '\n');
        let mut part = || parts.next().unwrap_or_default();
        let (method, url, body) = (part().to_owned(), part().into(), part());
        Self { request, method, url, has_body: !body.is_empty(), fields: Fields::new(part()) }
    }

    /// Returns whether the body can be buffered. The runtime accepts the body of a `GET` only as
    /// the stream of the incoming request.
    pub(crate) fn can_buffer(&self) -> bool {
        self.has_body && !matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// Returns whether the client requests a WebSocket.
    fn is_handshake(&self) -> bool {
        self.fields.value("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
    }
}

/// A client's request, from which the request to each server is made.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    incoming: Incoming,
    proxied: Rc<ProxiedRequest>,
    body: Payload,
}

/// The body of a request. Its bytes stay outside wasm.
#[derive(Debug)]
enum Payload {
    None,
    /// A body of length 0.
    Empty,
    /// The stream of the incoming request.
    Stream,
    /// Another stream.
    Piped(JsValue),
    Buffered(ArrayBuffer),
}

impl UpstreamRequest {
    /// Creates a request. Reads its body if `buffer_body` is set.
    ///
    /// # Errors
    /// If the client aborts its body.
    pub(crate) async fn new(
        incoming: Incoming,
        proxied: Rc<ProxiedRequest>,
        content_length: Option<u64>,
        buffer_body: bool,
    ) -> Result<Self> {
        let request = &incoming.request;
        let body = if !incoming.has_body {
            Payload::None
        } else if buffer_body {
            let limit = proxied.service().retry.max_buffered_body as f64;
            let read = Value::new(|slot| match content_length {
                Some(_) => glue::read_whole(slot, request),
                None => glue::read_start(slot, request, limit, PAUSE),
            });
            match read?.await?.dyn_into() {
                Ok(bytes) => Payload::Buffered(bytes),
                Err(stream) => Payload::Piped(stream),
            }
        } else if content_length == Some(0) {
            Payload::Empty
        } else {
            Payload::Stream
        };
        Ok(Self { incoming, proxied, body })
    }

    /// Returns the properties that decide about retries.
    pub(crate) fn meta(&self) -> RequestMeta {
        // An invalid method is treated as one that is not idempotent.
        let method = Method::from_bytes(self.incoming.method.as_bytes()).unwrap_or(Method::POST);
        let body = if self.is_streamed() { Body::Once } else { Body::Replayable };
        let Ok(meta) = self.proxied.meta(method, &self.incoming.fields, body, self.incoming.is_handshake());
        meta
    }

    fn is_streamed(&self) -> bool {
        matches!(self.body, Payload::Stream | Payload::Piped(_))
    }

    /// Sends it to `server`. Only the first attempt is not abortable, so that canceled ones use one
    /// of the connections of the invocation at most.
    fn send_to(&self, server: &Server, attempt: AttemptInfo) -> Result<Sent, JsValue> {
        let target = self.proxied.target(server).ok_or("the URL of the request leaves its server")?;
        let mut fields = self.incoming.fields.clone();
        let Ok(()) = headers::remove_hop_by_hop(&mut fields);
        let Ok(()) = fields.remove_if(headers::is_client_address);
        let Ok(()) = self.proxied.prepare_request(&mut fields, server);
        if self.incoming.is_handshake() {
            let Ok(()) = fields.set("upgrade", "websocket");
        }
        let (request, changes, is_abortable) = (&self.incoming.request, fields.changes(), attempt.number > 1);
        let body = match &self.body {
            Payload::None => &JsValue::UNDEFINED,
            Payload::Empty => &JsValue::NULL,
            Payload::Stream => {
                return Sent::new(|slot| glue::send_copy(slot, request, &target, &changes, is_abortable));
            }
            Payload::Piped(stream) => stream,
            Payload::Buffered(bytes) => bytes,
        };
        Sent::new(|slot| glue::send_parts(slot, request, &target, &changes, body, is_abortable))
    }
}

/// The client of one invocation for the servers of one pool. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pool: Arc<Pool>,
    invocation: Rc<Invocation>,
}

/// One call of the Worker by the runtime, which limits the subrequests of each.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// Present if a client waits, so that other tasks run after the response.
    client: Option<ClientContext>,
    probes_left: Cell<u32>,
}

/// What tasks need that run beside a client's request.
#[derive(Debug)]
struct ClientContext {
    context: Context,
    env: Env,
    loaded: &'static Loaded,
}

impl Invocation {
    /// An invocation for a client's request to a service.
    pub(crate) fn of_request(service: &Service, context: Context, env: Env, loaded: &'static Loaded) -> Rc<Self> {
        let probes_left = Cell::new(Subrequests::of(service).max_probes());
        Rc::new(Self { client: Some(ClientContext { context, env, loaded }), probes_left })
    }

    /// An invocation for a view of the status endpoint.
    pub(crate) fn of_view(context: Context, env: Env, loaded: &'static Loaded) -> Rc<Self> {
        let probes_left = Cell::new(ProbeRun::MAX_PROBES);
        Rc::new(Self { client: Some(ClientContext { context, env, loaded }), probes_left })
    }

    /// An invocation that only probes.
    pub(crate) fn of_probes(max_probes: u32) -> Rc<Self> {
        Rc::new(Self { client: None, probes_left: Cell::new(max_probes) })
    }

    /// Runs a task that may outlive the response. Without a client, nothing is started.
    pub(crate) fn wait_until(&self, running: impl Future<Output = ()> + 'static) {
        if let Some(client) = &self.client {
            let release = glue::hold(&client.context);
            task::start(async move {
                running.await;
                crate::settle(&release, &JsValue::UNDEFINED);
            });
        }
    }

    /// Logs the changes of a pool, and shares them.
    pub(crate) fn share_transitions(&self, pool: &Pool) {
        if !log::write_transitions(pool).is_empty() {
            sharing::on_change();
        }
        if let Some(client) = &self.client {
            sharing::exchange(client.loaded, &client.env, self);
        }
    }

    /// Returns whether no probe is left.
    pub(crate) fn is_used_up(&self) -> bool {
        self.probes_left.get() == 0
    }

    /// Counts a probe. Returns `false` if the remaining subrequests are needed otherwise.
    fn count_probe(&self) -> bool {
        let left = self.probes_left.get();
        self.probes_left.set(left.saturating_sub(1));
        left > 0
    }
}

impl Fetch {
    pub(crate) const fn new(pool: Arc<Pool>, invocation: Rc<Invocation>) -> Self {
        Self { pool, invocation }
    }
}

impl HttpClient for Fetch {
    type Request = UpstreamRequest;
    type Response = Received;
    type Error = FetchError;

    async fn send(
        &self,
        request: &UpstreamRequest,
        server: &Server,
        attempt: AttemptInfo,
    ) -> Result<Received, FetchError> {
        let sent = request.send_to(server, attempt).map_err(|error| FetchError::invalid(&error))?;
        sent.await.map_err(FetchError::of)
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Received, FetchError> {
        if !self.invocation.count_probe() {
            return Err(FetchError { failure: Failure::Local, message: None });
        }
        let sent = probe_request(&probe).and_then(|request| Sent::request(&request));
        sent.map_err(|error| FetchError::invalid(&error))?.await.map_err(FetchError::of)
    }

    fn on_attempt_failed(&self, request: &UpstreamRequest, attempt: &FailedAttempt) {
        if let Some(id) = request.proxied.id() {
            log::write(&LogEntry::attempt_failed(attempt, self.pool.service(), id));
        }
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(JsClock.now())) {
            let client = self.clone();
            self.invocation.wait_until(async move {
                core::run_probes(&client.pool, &client, &JsClock, lease).await;
                client.invocation.share_transitions(&client.pool);
            });
        }
    }

    fn status(&self, response: &Received) -> StatusCode {
        // `fetch` returns only statuses from 101 to 999.
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    fn header(&self, response: &Received, name: &str) -> Option<String> {
        let Ok(value) = response.fields.get(name);
        value
    }

    fn is_websocket(&self, response: &Received) -> bool {
        response.is_websocket
    }

    async fn read_prefix(&self, response: Received, limit: usize) -> Result<Vec<u8>, FetchError> {
        let read = Value::new(|slot| glue::read_prefix(slot, &response.response, limit));
        let bytes = read.map_err(|error| FetchError::invalid(&error))?.await.map_err(FetchError::of)?;
        Ok(bytes.unchecked_into::<Uint8Array>().to_vec())
    }

    fn discard(&self, response: Received) {
        glue::discard(&response.response);
    }

    /// The runtime does not report when a stream has been sent, so a streamed upload has no
    /// response timeout here. The edge has one.
    fn is_body_sent(&self, request: &UpstreamRequest) -> bool {
        !request.is_streamed()
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) struct FetchError {
    failure: Failure,
    /// The message of the exception.
    message: Option<String>,
}

impl FetchError {
    /// Classifies an exception of `fetch` by its message. An invocation that has made all its
    /// subrequests (50 on the free plan) cannot reach any server, so none is at fault.
    ///
    /// Source: Cloudflare's documentation of the limits of Workers, "Too many subrequests".
    fn of(message: String) -> Self {
        let is_limit = message.contains("Too many subrequests");
        let failure = if is_limit { Failure::Local } else { Failure::ConnectionLost };
        Self { failure, message: Some(message) }
    }

    fn invalid(error: &JsValue) -> Self {
        Self { failure: Failure::InvalidRequest, message: message_of(error) }
    }
}

impl UpstreamError for FetchError {
    fn failure(&self) -> Failure {
        self.failure
    }

    fn detail(&self) -> Option<String> {
        self.message.clone()
    }
}

fn message_of(error: &JsValue) -> Option<String> {
    error.as_string().or_else(|| Reflect::get(error, &"message".into()).ok()?.as_string())
}

fn probe_request(probe: &ProbeRequest) -> Result<web_sys::Request, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_method(probe.method.as_str());
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_cache(web_sys::RequestCache::NoStore);
    let request = web_sys::Request::new_with_str_and_init(&probe.url, &init)?;
    probe.headers.iter().try_for_each(|(name, value)| request.headers().set(name, value))?;
    Ok(request)
}
