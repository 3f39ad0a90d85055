//! Tunnel Balancer on Cloudflare Workers.
//!
//! A host of `tunnel-balancer-core` and nothing more: it turns JavaScript's requests into the core's facts and the core's
//! decisions into `fetch` calls. Requests, responses and bodies stay JavaScript objects all the way; wasm sees a URL, a few
//! headers and a status.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clock;
mod fetch;
mod log;
mod respond;
mod services;

use tunnel_balancer_core::{self as core, Admitted, Clock, Pool, Problem, Services, headers};
use worker::{Context, Env, Result, event, web_sys};

use crate::clock::JsClock;
use crate::fetch::{Fetch, Outgoing};

/// Answers one request of a client.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let url = request.url();
    let Some(services) = services::load(&env) else {
        return respond::with_problem(Problem::Misconfigured);
    };
    let has_hop = request.headers().has(headers::HOP)?;
    match services.admit(&url, has_hop) {
        Ok(admitted) => {
            probe(admitted.pool, &context);
            let answer = forward(request, admitted, services).await;
            // The request itself may have made a probe due.
            probe(admitted.pool, &context);
            answer
        }
        Err(problem) => respond::with_problem(problem),
    }
}

/// Starts the probes that are due. They run beside the request and may outlive it.
fn probe(pool: &'static Pool, context: &Context) {
    while let Some(lease) = pool.update(|state| state.next_probe(JsClock.now())) {
        context.wait_until(async move {
            core::run_probes(pool, &Fetch(pool.service()), &JsClock, lease).await;
            log::events(pool);
        });
    }
}

/// Sends the request to the servers of its service until one answers.
async fn forward(
    request: web_sys::Request,
    admitted: Admitted<'static, '_>,
    services: &'static Services,
) -> Result<web_sys::Response> {
    let pool = admitted.pool;
    let settings = &pool.service().retry;
    let content_length = request.headers().get("content-length")?.and_then(|length| length.parse().ok());
    let room =
        if fetch::can_be_kept(&request) { services.replay.keep(content_length, settings, JsClock.now()) } else { None };
    let keep_body = room.is_some();
    let answer = match Outgoing::new(request, admitted, content_length, keep_body).await {
        Ok((outgoing, info)) => {
            let sticky = info.sticky;
            let forwarded = core::forward(pool, &Fetch(pool.service()), &JsClock, outgoing, info).await;
            log::events(pool);
            respond::with(forwarded, admitted, sticky)
        }
        Err(_) => respond::with_problem(Problem::Incomplete),
    };
    room.into_iter().for_each(|room| services.replay.release(room));
    answer
}
