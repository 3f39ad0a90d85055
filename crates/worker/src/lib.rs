//! Tunnel Balancer on Cloudflare Workers.
//!
//! A host of `tunnel-balancer-core` and nothing more: it turns JavaScript's requests into the core's facts and the core's
//! decisions into `fetch` calls. Requests, responses and bodies stay JavaScript objects all the way; wasm sees a URL, a few
//! headers and a status.

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

use tunnel_balancer_core::{self as core, Clock, LocalReply, Pool, ProxiedRequest, RouteMatch, Services, headers};
use worker::{Context, Env, Result, event, web_sys};

use crate::clock::JsClock;
use crate::fetch::{Fetch, Outgoing};
use crate::fields::Fields;
use crate::respond::Asker;

/// Answers one request of a client.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let (url, asker) = (request.url(), Asker::of(&request)?);
    let Some(services) = services::load(&env) else {
        return respond::with_problem(LocalReply::Misconfigured, &asker, None);
    };
    let has_hop = request.headers().has(headers::LOOP_HEADER)?;
    match services.route(&url, has_hop) {
        Ok(matched) => {
            #[cfg(feature = "panic-on-demand")]
            mishap::if_wanted(&request, matched.pool).await?;
            probe(matched.pool, &context);
            let answer = forward(request, matched, services, &asker).await;
            // The request itself may have made a probe due.
            probe(matched.pool, &context);
            answer
        }
        Err(problem) => respond::with_problem(problem, &asker, None),
    }
}

/// Starts the probes that are due. They run beside the request and may outlive it.
fn probe(pool: &'static Pool, context: &Context) {
    while let Some(lease) = pool.update(|state| state.next_probe(JsClock.now())) {
        context.wait_until(async move {
            core::run_probes(pool, &Fetch(pool), &JsClock, lease).await;
            log::events(pool);
        });
    }
}

/// Sends the request to the servers of its service until one answers.
async fn forward(
    request: web_sys::Request,
    matched: RouteMatch<'static, '_>,
    services: &'static Services,
    asker: &Asker,
) -> Result<web_sys::Response> {
    let pool = matched.pool;
    let settings = &pool.service().retry;
    let headers = request.headers();
    let content_length = headers.get("content-length")?.and_then(|length| length.parse().ok());
    let inbound = ProxiedRequest::new(matched, &Fields(headers), request.headers().get("cf-connecting-ip")?)?;
    let room =
        if fetch::can_be_kept(&request) { services.replay.keep(content_length, settings, JsClock.now()) } else { None };
    let answer = match Outgoing::new(request, inbound.clone(), content_length, room.is_some()).await {
        Ok(outgoing) => {
            let info = outgoing.info(pool)?;
            let forwarded = core::forward(pool, &Fetch(pool), &JsClock, outgoing, info).await;
            log::events(pool);
            respond::with(forwarded, &inbound, pool, asker)
        }
        Err(_) => respond::with_problem(LocalReply::Incomplete, asker, Some(pool)),
    };
    room.into_iter().for_each(|room| services.replay.release(room));
    answer
}
