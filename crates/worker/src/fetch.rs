//! Sending through the runtime's `fetch`.
//!
//! The runtime does not say why a `fetch` failed: a refused connection, a reset before and one after the request was read
//! all read "Network connection lost.". So every exception leaves open whether the application saw the request.

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    Admitted, Body, Failure, HealthCheck, HttpClient, Plan, ProbeAnswer, ProbeResult, RequestInfo, Server, headers,
};
use worker::js_sys::{self, ArrayBuffer};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Result, web_sys};

use crate::log;

/// A client's request on its way to a server.
#[derive(Debug)]
pub(crate) struct Outgoing {
    request: web_sys::Request,
    scheme: String,
    /// Host and port as the client wrote them.
    authority: String,
    path_and_query: String,
    client_ip: Option<String>,
    body: Payload,
}

/// How the body gets to the server. Its bytes stay outside wasm either way.
#[derive(Debug)]
enum Payload {
    None,
    Stream,
    Kept(ArrayBuffer),
}

impl Outgoing {
    /// Reads the body first if it is to be kept.
    ///
    /// # Errors
    /// When the client breaks off while its body is read.
    pub(crate) async fn new(request: web_sys::Request, admitted: Admitted<'_, '_>, keep_body: bool) -> Result<Self> {
        let body = if keep_body {
            Payload::Kept(JsFuture::from(request.array_buffer()?).await?.unchecked_into())
        } else if request.body().is_some() {
            Payload::Stream
        } else {
            Payload::None
        };
        let client_ip = request.headers().get("cf-connecting-ip")?;
        Ok(Self {
            request,
            scheme: admitted.scheme.to_owned(),
            authority: admitted.authority.to_owned(),
            path_and_query: admitted.path_and_query.to_owned(),
            client_ip,
            body,
        })
    }

    /// What the core wants to know of it.
    pub(crate) fn info(&self) -> Result<RequestInfo> {
        Ok(RequestInfo {
            // What is no method at all had better not run twice.
            method: Method::from_bytes(self.request.method().as_bytes()).unwrap_or(Method::POST),
            idempotency_key: self.request.headers().has("idempotency-key")?,
            body: if matches!(self.body, Payload::Stream) { Body::Once } else { Body::Replayable },
        })
    }

    /// The request as `server` gets it.
    fn addressed_to(&self, server: &Server) -> Result<web_sys::Request, JsValue> {
        let target = server.url.target(&self.path_and_query);
        let copy = match &self.body {
            Payload::Kept(bytes) => {
                let init = web_sys::RequestInit::new();
                init.set_method(&self.request.method());
                init.set_headers(&self.request.headers());
                init.set_redirect(web_sys::RequestRedirect::Manual);
                init.set_body(bytes);
                web_sys::Request::new_with_str_and_init(&target, &init)?
            }
            // The incoming request as its own copy's settings: method, headers and body stream are taken over as they are.
            Payload::None | Payload::Stream => {
                web_sys::Request::new_with_str_and_init(&target, self.request.unchecked_ref())?
            }
        };
        let headers = copy.headers();
        for name in headers::NOT_PASSED_ON {
            headers.delete(name)?;
        }
        for (name, value) in headers::forwarded(&self.authority, &self.scheme, self.client_ip.as_deref()) {
            value.map_or_else(|| headers.delete(name), |value| headers.set(name, value))?;
        }
        headers.set(headers::HOP, "1")?;
        Ok(copy)
    }
}

/// The runtime's `fetch` as the core's client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch;

impl HttpClient for Fetch {
    type Request = Outgoing;
    type Response = web_sys::Response;
    type Error = Failure;

    async fn send(&self, request: &mut Outgoing, server: &Server, plan: &Plan) -> Result<web_sys::Response, Failure> {
        let sent = async { fetch(&request.addressed_to(server)?).await };
        sent.await.map_err(|error| {
            log::failed_attempt(&server.name, plan.attempt, &error);
            Failure::Lost
        })
    }

    async fn probe(&self, server: &Server, check: &HealthCheck) -> ProbeResult {
        let sent = async { fetch(&probe_request(server, check)?).await };
        let response = sent.await.map_err(|_| Failure::Lost)?;
        let location = response.headers().get("location").ok().flatten();
        let status = self.status(&response);
        self.discard(response);
        Ok(ProbeAnswer { status, location })
    }

    fn status(&self, response: &web_sys::Response) -> StatusCode {
        // `fetch` gives statuses from 101 to 999 and no others.
        StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY)
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
    request.headers().set(headers::HOP, "1")?;
    request.headers().set("user-agent", headers::PROBE_USER_AGENT)?;
    Ok(request)
}

/// Sends `request` and waits for response headers. Dropping the future aborts the request.
async fn fetch(request: &web_sys::Request) -> Result<web_sys::Response, JsValue> {
    let mut abort = AbortOnDrop(Some(web_sys::AbortController::new()?));
    let init = web_sys::RequestInit::new();
    init.set_signal(abort.0.as_ref().map(web_sys::AbortController::signal).as_ref());
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(global.fetch_with_request_and_init(request, &init)).await?;
    // From here on the signal would cut the body.
    abort.0 = None;
    Ok(response.unchecked_into())
}

struct AbortOnDrop(Option<web_sys::AbortController>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}
