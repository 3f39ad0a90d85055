//! Sending through the runtime's `fetch`.
//!
//! The runtime does not say why a `fetch` failed: a refused connection, a reset before and one after the request was read
//! all read "Network connection lost.". So every exception leaves open whether the application saw the request.

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    self as core, Attempt, Body, Failure, HealthCheck, HttpClient, Pool, ProbeResponse, ProbeResult, ProxiedRequest,
    RequestMeta, Server, headers,
};
use worker::js_sys::{self, ArrayBuffer, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Result, web_sys};

use crate::fields::Fields;
use crate::log;

/// A client's request on its way to a server.
#[derive(Debug)]
pub(crate) struct Outgoing {
    request: web_sys::Request,
    inbound: ProxiedRequest,
    body: Payload,
}

/// How the body gets to the server. Its bytes stay outside wasm either way.
#[derive(Debug)]
enum Payload {
    None,
    /// There is a body, and nothing in it.
    Empty,
    Stream,
    Kept(ArrayBuffer),
}

/// Whether a request's body could be sent twice. That of a `GET` cannot: it passes only as the stream it came as.
pub(crate) fn can_be_kept(request: &web_sys::Request) -> bool {
    request.body().is_some() && !matches!(request.method().as_str(), "GET" | "HEAD")
}

impl Outgoing {
    /// The request, its body read if it is to be kept.
    ///
    /// # Errors
    /// When the client breaks off while its body is read.
    pub(crate) async fn new(
        request: web_sys::Request,
        inbound: ProxiedRequest,
        content_length: Option<u64>,
        keep_body: bool,
    ) -> Result<Self> {
        let body = match request.body() {
            None => Payload::None,
            Some(_) if keep_body => Payload::Kept(JsFuture::from(request.array_buffer()?).await?.unchecked_into()),
            Some(_) if content_length == Some(0) => Payload::Empty,
            Some(_) => Payload::Stream,
        };
        Ok(Self { request, inbound, body })
    }

    /// What the core wants to know of it.
    pub(crate) fn info(&self, pool: &Pool) -> Result<RequestMeta> {
        // What is no method at all had better not run twice.
        let method = Method::from_bytes(self.request.method().as_bytes()).unwrap_or(Method::POST);
        let body = if matches!(self.body, Payload::Stream) { Body::Once } else { Body::Replayable };
        Ok(self.inbound.meta(pool, method, &Fields(self.request.headers()), body)?)
    }

    /// The request as `server` gets it.
    fn addressed_to(&self, server: &Server, pool: &Pool) -> Result<web_sys::Request, JsValue> {
        let target = server.url.target(&self.inbound.path_and_query);
        if !server.url.covers(&target) {
            return Err("the request would leave its server".into());
        }
        let copy = match &self.body {
            Payload::Kept(_) | Payload::Empty => {
                let init = web_sys::RequestInit::new();
                init.set_method(&self.request.method());
                init.set_headers(&self.request.headers());
                init.set_redirect(web_sys::RequestRedirect::Manual);
                if let Payload::Kept(bytes) = &self.body {
                    init.set_body(bytes);
                }
                web_sys::Request::new_with_str_and_init(&target, &init)?
            }
            // The incoming request as its own copy's settings: method, headers and body stream are taken over as they are.
            Payload::None | Payload::Stream => {
                web_sys::Request::new_with_str_and_init(&target, self.request.unchecked_ref())?
            }
        };
        self.inbound.prepare_request(&mut Fields(copy.headers()), pool, server)?;
        Ok(copy)
    }
}

/// The runtime's `fetch` as the core's client, for one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch(pub(crate) &'static Pool);

impl HttpClient for Fetch {
    type Request = Outgoing;
    type Response = web_sys::Response;
    type Error = Failure;

    async fn send(
        &self,
        request: &mut Outgoing,
        server: &Server,
        plan: &Attempt,
    ) -> Result<web_sys::Response, Failure> {
        let failed = |failure| {
            move |error: JsValue| {
                log::failed_attempt(&server.name, plan.attempt, &error);
                failure
            }
        };
        let addressed = request.addressed_to(server, self.0).map_err(failed(Failure::InvalidRequest))?;
        let (response, mut abort) = fetch(&addressed).await.map_err(failed(Failure::ConnectionLost))?;
        abort.disarm();
        Ok(response)
    }

    async fn probe(&self, server: &Server, check: &HealthCheck) -> ProbeResult {
        let request = probe_request(server, check).map_err(|_| Failure::InvalidRequest)?;
        // Armed to the end: a body that stalls is cut with the rest.
        let (response, mut abort) = fetch(&request).await.map_err(|_| Failure::ConnectionLost)?;
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let answer = ProbeResponse {
            location: header("location"),
            header: check.expect_header.as_ref().and_then(|(name, _)| header(name)),
            ..ProbeResponse::new(self.status(&response))
        };
        if check.expect_body.is_some() {
            let body = beginning(&response).await.map_err(|_| Failure::ConnectionLost)?;
            abort.disarm();
            return Ok(ProbeResponse { body: Some(body), ..answer });
        }
        abort.disarm();
        self.discard(response);
        Ok(answer)
    }

    fn status(&self, response: &web_sys::Response) -> StatusCode {
        // `fetch` gives statuses from 101 to 999 and no others.
        StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    fn retry_after(&self, response: &web_sys::Response) -> Option<Duration> {
        let value = response.headers().get("retry-after").ok().flatten()?;
        let seconds = value.trim().parse().ok();
        seconds.map(Duration::from_secs).or_else(|| {
            let millis = js_sys::Date::parse(&value) - js_sys::Date::now();
            Duration::try_from_secs_f64(millis / 1000.0).ok()
        })
    }

    fn discard(&self, response: web_sys::Response) {
        // Nobody waits for the cancellation; a failure of it means that the body is gone already.
        let _ = response.body().map(|body| body.cancel());
    }
}

fn probe_request(server: &Server, check: &HealthCheck) -> Result<web_sys::Request, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_cache(web_sys::RequestCache::NoStore);
    let request = web_sys::Request::new_with_str_and_init(&server.url.target(&check.path), &init)?;
    request.headers().set("user-agent", headers::PROBE_USER_AGENT)?;
    core::add_server_headers(&mut Fields(request.headers()), server)?;
    Ok(request)
}

/// The first kilobyte of a probe's body; the rest is cancelled.
async fn beginning(response: &web_sys::Response) -> Result<String, JsValue> {
    let Some(body) = response.body() else { return Ok(String::new()) };
    let reader: web_sys::ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    while bytes.len() < HealthCheck::BODY_LIMIT {
        let chunk = JsFuture::from(reader.read()).await?;
        if Reflect::get(&chunk, &"done".into())?.is_truthy() {
            break;
        }
        let chunk: Uint8Array = Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        let wanted = u32::try_from(HealthCheck::BODY_LIMIT - bytes.len()).unwrap_or(u32::MAX);
        bytes.extend(chunk.subarray(0, wanted.min(chunk.length())).to_vec());
    }
    // Nobody waits for the cancellation; a failure of it means that the body has ended.
    let _ = reader.cancel();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends `request` and waits for response headers. Dropping the future, or what it gives, aborts the request.
async fn fetch(request: &web_sys::Request) -> Result<(web_sys::Response, AbortOnDrop), JsValue> {
    let abort = AbortOnDrop(Some(web_sys::AbortController::new()?));
    let init = web_sys::RequestInit::new();
    init.set_signal(abort.0.as_ref().map(web_sys::AbortController::signal).as_ref());
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(global.fetch_with_request_and_init(request, &init)).await?;
    Ok((response.unchecked_into(), abort))
}

/// Ends a request that nobody waits for any more.
struct AbortOnDrop(Option<web_sys::AbortController>);

impl AbortOnDrop {
    /// From here on the signal would only cut the body.
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
