//! Tunnel Balancer on Cloudflare Workers.
//!
//! A host of `tunnel-balancer-core`: it passes the facts of JavaScript requests to the core and
//! turns the core's decisions into `fetch` calls. Requests, responses and bodies remain JavaScript
//! objects; only URLs, some headers and statuses are copied into wasm.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clock;
mod control;
mod cron;
mod error;
mod fetch;
mod fields;
mod glue;
mod log;
mod monitor;
mod notifier;
#[cfg(feature = "panic-on-demand")]
mod panic_on_demand;
mod pending;
mod probe_run;
mod push;
mod random;
mod rehearsal;
mod respond;
mod runtime;
mod services;
mod sharing;
mod status;
mod store;
mod summaries;
mod task;

use std::rc::Rc;
use std::sync::Arc;

use tunnel_balancer_core::{
    self as core, Clock, DrillClient, LocalReply, LogEntry, ProxiedRequest, ReplyContext, RouteMatch, Services, headers,
};
use tunnel_balancer_state::{Inspection, PUSH_PATH};
use worker::js_sys::Function;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::worker_sys::Context;
use worker::{Env, console_error, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::fetch::{Fetch, Incoming, Invocation, UpstreamRequest};
use crate::services::Loaded;

/// Sets the functions of JavaScript that get the results of this instance. `js/entry.js` calls it
/// before anything else.
#[wasm_bindgen]
pub fn connect(exports: &JsValue) {
    glue::connect(exports);
}

/// Reads the configuration, before the first event. `js/entry.js` calls it.
#[wasm_bindgen]
pub fn prepare(env: &Env) {
    services::prepare(env);
}

/// Handles a request without I/O, before the first event. Returns whether that worked.
/// `js/entry.js` calls it.
#[wasm_bindgen]
pub fn rehearse(env: Env, context: Context) -> bool {
    rehearsal::run(env, context)
}

/// Handles one request of a client, and calls `respond` with the response. `js/entry.js` calls it.
#[wasm_bindgen]
pub fn handle(request: web_sys::Request, env: Env, context: Context, respond: Function) {
    task::start(async move {
        let response = fetch(request, env, context).await.or_else(|error| {
            console_error!("{error}");
            glue::reply(500, "", "internal error\n")
        });
        if let Ok(response) = response {
            settle(&respond, &response);
        }
    });
}

/// Runs the health checks of a cron trigger, and calls `done`. `js/entry.js` calls it.
#[wasm_bindgen]
pub fn scheduled(env: Env, done: Function) {
    task::start(async move {
        cron::scheduled(env).await;
        settle(&done, &JsValue::UNDEFINED);
    });
}

/// Settles the promise that `js/entry.js` has made.
pub(crate) fn settle(settle: &Function, value: &JsValue) {
    // It cannot fail.
    let _ = settle.call1(&JsValue::UNDEFINED, value);
}

async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let incoming = Incoming::new(request);
    let reply_context = respond::context(&incoming);
    let Some(loaded) = services::load(&env) else {
        return respond::local_reply(LocalReply::Misconfigured, &reply_context, None, None, None);
    };
    respond_to(incoming, reply_context, loaded, env, context).await
}

/// Responds to a request with this configuration.
async fn respond_to(
    incoming: Incoming,
    reply_context: ReplyContext,
    loaded: &'static Loaded,
    env: Env,
    context: Context,
) -> Result<web_sys::Response> {
    let path = path_of(&incoming.url);
    if path == PUSH_PATH
        && incoming.method == "POST"
        && let Some(response) = push::respond(&incoming.request.clone()?, loaded, &env).await
    {
        return response;
    }
    match status::target(path, loaded, &env) {
        status::Target::Control(path) => return control::respond(&incoming.request, &path, loaded, &env).await,
        status::Target::Status(endpoint) => {
            loaded.expire(JsClock.now());
            return status::respond(&incoming.request, &endpoint, loaded, env, context).await;
        }
        status::Target::Nothing => return status::nothing(),
        status::Target::Service => {}
    }
    loaded.expire(JsClock.now());
    let has_hop = incoming.fields.value(headers::LOOP_HEADER).is_some();
    let services = loaded.services();
    let url = Rc::clone(&incoming.url);
    let response = match services.route(&url, has_hop) {
        Ok(matched) => {
            #[cfg(feature = "panic-on-demand")]
            panic_on_demand::maybe_panic(&incoming.request, matched.pool).await?;
            let inspection = control::inspection(&incoming.fields, matched.pool.service(), loaded, &env);
            let invocation = Invocation::of_request(matched.pool.service(), context, env, loaded);
            let client = Fetch::new(Arc::clone(matched.pool), Rc::clone(&invocation));
            let pool = matched.pool;
            let response = forward(incoming, matched, client, &services, &reply_context, inspection).await;
            invocation.share_transitions(pool);
            response?
        }
        Err(reply) => {
            let host = url.split('/').nth(2);
            let similar = host.map(|host| services.similar_hosts(host)).unwrap_or_default();
            respond::local_reply(reply, &reply_context.with_similar_hosts(similar), None, None, host)?
        }
    };
    if loaded.is_fallback {
        response.headers().set(headers::CONFIG_HEADER, "fallback")?;
    }
    Ok(response)
}

/// Sends the request to the servers of its service until one responds.
async fn forward(
    incoming: Incoming,
    matched: RouteMatch<'_, '_>,
    client: Fetch,
    services: &Services,
    reply_context: &ReplyContext,
    inspection: Inspection,
) -> Result<web_sys::Response> {
    let pool = matched.pool;
    let settings = &pool.service().retry;
    let fields = &incoming.fields;
    let content_length = fields.value("content-length").and_then(|length| length.parse().ok());
    let client_ip = fields.value("cf-connecting-ip").map(str::to_owned);
    let Ok(proxied) = ProxiedRequest::new(matched, fields, client_ip);
    let proxied = Rc::new(proxied.with_id(reply_context.id().clone()));
    let permit =
        if incoming.can_buffer() { services.replay.reserve(content_length, settings, JsClock.now()) } else { None };
    match UpstreamRequest::new(incoming, Rc::clone(&proxied), content_length, permit.is_some()).await {
        Ok(upstream_request) => {
            let mut meta = upstream_request.meta();
            meta.trace = inspection.is_traced();
            let copy = inspection.drill().map(|drill| {
                log::write(&LogEntry::drill(drill, pool.service(), reply_context.id()));
                pool.for_drill(drill, JsClock.now())
            });
            let used = copy.as_ref().unwrap_or(pool);
            let client = DrillClient::new(&client, &JsClock, used, inspection.drill());
            let forwarded = core::forward(used, &client, &JsClock, upstream_request, meta).await;
            respond::with(forwarded, &proxied, pool, reply_context, inspection)
        }
        Err(_) => respond::local_reply(LocalReply::Incomplete, reply_context, Some(pool), None, None),
    }
}

/// Returns the query of a URL, without `?`.
fn query_of(url: &str) -> &str {
    let before_fragment = url.split('#').next().unwrap_or_default();
    before_fragment.split_once('?').map_or("", |(_, query)| query)
}

/// Returns the path of a URL, without its query.
pub(crate) fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or(path)
}
