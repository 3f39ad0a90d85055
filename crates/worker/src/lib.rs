//! Tunnel Balancer on Cloudflare Workers.
//!
//! A host of `tunnel-balancer-core` and nothing more: it turns JavaScript's requests into the
//! core's facts and the core's decisions into `fetch` calls. Requests, responses and bodies stay
//! JavaScript objects all the way; wasm sees a URL, a few headers and a status.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clock;
mod fetch;
mod fields;
mod log;
#[cfg(feature = "panic-on-demand")]
mod mishap;
mod random;
mod respond;
mod services;

use tunnel_balancer_core::{
    self as core, Clock, LocalReply, ProxiedRequest, ReplyContext, RouteMatch, Services, headers,
};
use worker::{Context, Env, Result, event, web_sys};

use crate::clock::JsClock;
use crate::fetch::{Fetch, Outgoing};
use crate::fields::Fields;

/// Answers one request of a client.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let (url, reply_context) = (request.url(), respond::context(&request)?);
    let Some(services) = services::load(&env) else {
        return respond::with_problem(LocalReply::Misconfigured, &reply_context, None);
    };
    let has_hop = request.headers().has(headers::LOOP_HEADER)?;
    match services.route(&url, has_hop) {
        Ok(matched) => {
            #[cfg(feature = "panic-on-demand")]
            mishap::if_wanted(&request, matched.pool).await?;
            let client = Fetch::new(matched.pool, context);
            forward(request, matched, client, services, &reply_context).await
        }
        Err(reply) => respond::with_problem(reply, &reply_context, None),
    }
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
    let inbound = ProxiedRequest::new(matched, &Fields(headers), request.headers().get("cf-connecting-ip")?)?;
    let room = if fetch::can_be_kept(&request) {
        services.replay.reserve(content_length, settings, JsClock.now())
    } else {
        None
    };
    let response = match Outgoing::new(request, inbound.clone(), content_length, room.is_some()).await {
        Ok(outgoing) => {
            let meta = outgoing.meta()?;
            let forwarded = core::forward(pool, &client, &JsClock, outgoing, meta).await;
            log::events(pool);
            respond::with(forwarded, &inbound, pool, reply_context)
        }
        Err(_) => respond::with_problem(LocalReply::Incomplete, reply_context, Some(pool)),
    };
    room.into_iter().for_each(|room| services.replay.release(room));
    response
}
