//! The HTTP client for servers: the runtime's `fetch`.
//!
//! The runtime does not report why a `fetch` failed: "Network connection lost." stands for a
//! refused connection and for a reset before or after the request was read. So an exception leaves
//! open whether the application saw the request. The one exception is the limit of subrequests.

use std::cell::Cell;
use std::rc::Rc;

use http::{Method, StatusCode};
use tunnel_balancer_config::Subrequests;
use tunnel_balancer_core::headers::{self, HeaderFields};
use tunnel_balancer_core::{
    self as core, AttemptInfo, Body, Clock, FailedAttempt, Failure, HttpClient, LogEntry, Pool, ProbeRequest,
    ProxiedRequest, RequestMeta, Server, UpstreamError,
};
use worker::js_sys::{self, ArrayBuffer, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Context, Result, web_sys};

use crate::body::{self, Read};
use crate::clock::JsClock;
use crate::fields::Fields;
use crate::log;

/// A client's request, from which the request to each server is made.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    request: web_sys::Request,
    proxied: ProxiedRequest,
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
    Piped(web_sys::ReadableStream),
    Buffered(ArrayBuffer),
}

/// Returns whether the body of a request can be buffered. The runtime accepts the body of a `GET`
/// only as the stream of the incoming request.
pub(crate) fn can_buffer(request: &web_sys::Request) -> bool {
    request.body().is_some() && !matches!(request.method().as_str(), "GET" | "HEAD")
}

impl UpstreamRequest {
    /// Creates a request. Reads its body if `buffer_body` is set.
    ///
    /// # Errors
    /// If the client aborts its body.
    pub(crate) async fn new(
        request: web_sys::Request,
        proxied: ProxiedRequest,
        content_length: Option<u64>,
        buffer_body: bool,
    ) -> Result<Self> {
        let body = match request.body() {
            None => Payload::None,
            Some(body) if buffer_body && content_length.is_none() => {
                match body::read(&body, proxied.service().retry.max_buffered_body).await? {
                    Read::Whole(bytes) => Payload::Buffered(bytes),
                    Read::Start(stream) => Payload::Piped(stream),
                }
            }
            Some(_) if buffer_body => {
                Payload::Buffered(JsFuture::from(request.array_buffer()?).await?.unchecked_into())
            }
            Some(_) if content_length == Some(0) => Payload::Empty,
            Some(_) => Payload::Stream,
        };
        Ok(Self { request, proxied, body })
    }

    /// Returns the properties that decide about retries.
    pub(crate) fn meta(&self) -> Result<RequestMeta> {
        // An invalid method is treated as one that is not idempotent.
        let method = Method::from_bytes(self.request.method().as_bytes()).unwrap_or(Method::POST);
        let body = if self.is_streamed() { Body::Once } else { Body::Replayable };
        Ok(self.proxied.meta(method, &Fields(self.request.headers()), body, self.is_handshake()?)?)
    }

    fn is_streamed(&self) -> bool {
        matches!(self.body, Payload::Stream | Payload::Piped(_))
    }

    /// Returns whether the client requests a WebSocket.
    fn is_handshake(&self) -> Result<bool, JsValue> {
        let protocol = self.request.headers().get("upgrade")?;
        Ok(protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")))
    }

    /// Returns the request for `server`.
    fn prepare_for(&self, server: &Server) -> Result<web_sys::Request, JsValue> {
        let target = self.proxied.target(server).ok_or("the URL of the request leaves its server")?;
        let copy = match &self.body {
            Payload::Buffered(_) | Payload::Piped(_) | Payload::Empty => {
                let init = web_sys::RequestInit::new();
                init.set_method(&self.request.method());
                init.set_headers(&self.request.headers());
                init.set_redirect(web_sys::RequestRedirect::Manual);
                match &self.body {
                    Payload::Buffered(bytes) => init.set_body(bytes),
                    Payload::Piped(stream) => init.set_body(stream),
                    _ => {}
                }
                web_sys::Request::new_with_str_and_init(&target, &init)?
            }
            // The incoming request as the settings of its copy: method, headers and body stream are
            // copied unchanged.
            Payload::None | Payload::Stream => {
                web_sys::Request::new_with_str_and_init(&target, self.request.unchecked_ref())?
            }
        };
        let mut fields = Fields(copy.headers());
        headers::remove_hop_by_hop(&mut fields)?;
        self.proxied.prepare_request(&mut fields, server)?;
        if self.is_handshake()? {
            fields.set("upgrade", "websocket")?;
        }
        Ok(copy)
    }
}

/// The client of one invocation. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pool: &'static Pool,
    invocation: Rc<Invocation>,
}

/// The state that the probes of one invocation share.
#[derive(Debug)]
struct Invocation {
    context: Context,
    probes: Cell<u32>,
}

impl Fetch {
    pub(crate) fn new(pool: &'static Pool, context: Context) -> Self {
        Self { pool, invocation: Rc::new(Invocation { context, probes: Cell::new(0) }) }
    }

    /// Counts a probe. Returns `false` if the remaining subrequests are needed for attempts.
    fn count_probe(&self) -> bool {
        let probes = self.invocation.probes.get();
        let is_allowed = probes < Subrequests::of(self.pool.service()).max_probes();
        self.invocation.probes.set(probes + u32::from(is_allowed));
        is_allowed
    }
}

impl HttpClient for Fetch {
    type Request = UpstreamRequest;
    type Response = web_sys::Response;
    type Error = FetchError;

    async fn send(
        &self,
        request: &UpstreamRequest,
        server: &Server,
        _: AttemptInfo,
    ) -> Result<web_sys::Response, FetchError> {
        let prepared = request.prepare_for(server).map_err(|error| FetchError::invalid(&error))?;
        let (response, mut abort) = fetch(&prepared).await.map_err(|error| FetchError::of(&error))?;
        abort.disarm();
        Ok(response)
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<web_sys::Response, FetchError> {
        if !self.count_probe() {
            return Err(FetchError { failure: Failure::Local, message: None });
        }
        let request = probe_request(&probe).map_err(|error| FetchError::invalid(&error))?;
        let (response, mut abort) = fetch(&request).await.map_err(|error| FetchError::of(&error))?;
        abort.disarm();
        Ok(response)
    }

    fn on_attempt_failed(&self, request: &UpstreamRequest, attempt: FailedAttempt) {
        if let Some(id) = request.proxied.id() {
            log::write(&LogEntry::attempt_failed(&attempt, self.pool.service(), id));
        }
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(JsClock.now())) {
            let client = self.clone();
            self.invocation.context.wait_until(async move {
                core::run_probes(client.pool, &client, &JsClock, lease).await;
                log::write_transitions(client.pool);
            });
        }
    }

    fn status(&self, response: &web_sys::Response) -> StatusCode {
        // `fetch` returns only statuses from 101 to 999.
        StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    fn header(&self, response: &web_sys::Response, name: &str) -> Option<String> {
        response.headers().get(name).ok().flatten()
    }

    /// The runtime keeps `Upgrade` to itself.
    fn is_websocket(&self, response: &web_sys::Response) -> bool {
        Reflect::get(response, &"webSocket".into()).is_ok_and(|socket| socket.is_object())
    }

    async fn read_prefix(&self, response: web_sys::Response, limit: usize) -> Result<Vec<u8>, FetchError> {
        body::read_prefix(&response, limit).await.map_err(|error| FetchError::of(&error))
    }

    fn discard(&self, response: web_sys::Response) {
        // The cancellation is not awaited. It fails only if the body has ended.
        let _ = response.body().map(|body| body.cancel());
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
    /// Classifies an exception of `fetch`. An invocation that has made all its subrequests (50 on
    /// the free plan) cannot reach any server, so none is at fault.
    ///
    /// Source: Cloudflare's documentation of the limits of Workers, "Too many subrequests".
    fn of(error: &JsValue) -> Self {
        let message = message_of(error);
        let is_limit = message.as_deref().is_some_and(|message| message.contains("Too many subrequests"));
        let failure = if is_limit { Failure::Local } else { Failure::ConnectionLost };
        Self { failure, message }
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

/// Sends `request` and waits for response headers. Dropping the future or the guard that it returns
/// aborts the request.
async fn fetch(request: &web_sys::Request) -> Result<(web_sys::Response, AbortOnDrop), JsValue> {
    let abort = AbortOnDrop(Some(web_sys::AbortController::new()?));
    let init = web_sys::RequestInit::new();
    init.set_signal(abort.0.as_ref().map(web_sys::AbortController::signal).as_ref());
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(global.fetch_with_request_and_init(request, &init)).await?;
    Ok((response.unchecked_into(), abort))
}

/// Aborts a request on drop.
struct AbortOnDrop(Option<web_sys::AbortController>);

impl AbortOnDrop {
    /// Disables the abort, which would also end the body.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}
