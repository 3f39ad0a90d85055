//! Tunnel Balancer on Cloudflare Workers.
//!
//! A host of `tunnel-balancer-core`: it passes the facts of JavaScript requests to the core and
//! turns the core's decisions into `fetch` calls. Requests, responses and bodies remain JavaScript
//! objects; only URLs, some headers and statuses are copied into wasm.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod body;
mod clock;
mod fetch;
mod fields;
mod log;
#[cfg(feature = "panic-on-demand")]
mod panic_on_demand;
mod random;
mod respond;
mod services;

use tunnel_balancer_core::{
    self as core, Clock, LocalReply, ProxiedRequest, ReplyContext, RouteMatch, Services, headers,
};
use worker::{Context, Env, Result, event, web_sys};

use crate::clock::JsClock;
use crate::fetch::{Fetch, UpstreamRequest};
use crate::fields::Fields;

/// Handles one request of a client.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let (url, reply_context) = (request.url(), respond::context(&request)?);
    let Some(loaded) = services::load(&env) else {
        return respond::local_reply(LocalReply::Misconfigured, &reply_context, None, None, None);
    };
    let has_hop = request.headers().has(headers::LOOP_HEADER)?;
    let response = match loaded.services.route(&url, has_hop) {
        Ok(matched) => {
            #[cfg(feature = "panic-on-demand")]
            panic_on_demand::maybe_panic(&request, matched.pool).await?;
            let client = Fetch::new(matched.pool, context);
            forward(request, matched, client, &loaded.services, &reply_context).await?
        }
        Err(reply) => {
            let host = url.split('/').nth(2);
            let similar = host.map(|host| loaded.services.similar_hosts(host)).unwrap_or_default();
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
    request: web_sys::Request,
    matched: RouteMatch<'static, '_>,
    client: Fetch,
    services: &'static Services,
    reply_context: &ReplyContext,
) -> Result<web_sys::Response> {
    let pool = matched.pool;
    let settings = &pool.service().retry;
    let headers = request.headers();
    let content_length = headers.get("content-length")?.and_then(|length| length.parse().ok());
    let client_ip = headers.get("cf-connecting-ip")?;
    let proxied = ProxiedRequest::new(matched, &Fields(headers), client_ip)?.with_id(reply_context.id().clone());
    let permit = if fetch::can_buffer(&request) {
        services.replay.reserve(content_length, settings, JsClock.now())
    } else {
        None
    };
    let response = match UpstreamRequest::new(request, proxied.clone(), content_length, permit.is_some()).await {
        Ok(upstream_request) => {
            let meta = upstream_request.meta()?;
            let forwarded = core::forward(pool, &client, &JsClock, upstream_request, meta).await;
            log::write_transitions(pool);
            respond::with(forwarded, &proxied, pool, reply_context)
        }
        Err(_) => respond::local_reply(LocalReply::Incomplete, reply_context, Some(pool), None, None),
    };
    permit.into_iter().for_each(|permit| services.replay.release(permit));
    response
}
