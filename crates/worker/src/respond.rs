//! What the client gets.

use tunnel_balancer_core::{Forwarded, LocalReply, Pool, ProxiedRequest, ReplyContext, RequestId, ServerId};
use worker::wasm_bindgen::JsCast;
use worker::{Result, web_sys};

use crate::fields::Fields;
use crate::{log, random};

/// What a local reply to a request depends on.
pub(crate) fn context(request: &web_sys::Request) -> Result<ReplyContext> {
    let headers = request.headers();
    // The edge's own id, by which Cloudflare's logs know the request; the runtime alone gives none.
    let given = headers.get("cf-ray")?.as_deref().and_then(RequestId::parse);
    let id = given.unwrap_or_else(|| RequestId::random(random::bits()));
    Ok(ReplyContext::new(headers.get("accept")?, id))
}

/// The answer to a request that was forwarded.
pub(crate) fn with(
    forwarded: Forwarded<web_sys::Response>,
    inbound: &ProxiedRequest,
    pool: &Pool,
    context: &ReplyContext,
) -> Result<web_sys::Response> {
    let response = match forwarded.response {
        Ok(response) => response,
        Err(problem) => return with_problem(problem, context, Some(pool)),
    };
    let Some(id) = forwarded.served_by else { return Ok(response) };
    stamp(&response, inbound, id, forwarded.last_resort).or(Ok(response))
}

/// An answer of our own, to a request for a service if it is known.
pub(crate) fn with_problem(
    problem: LocalReply,
    context: &ReplyContext,
    pool: Option<&Pool>,
) -> Result<web_sys::Response> {
    log::problem(problem, context.id(), pool);
    let answer = context.respond(problem, pool.map(Pool::service));
    let init = web_sys::ResponseInit::new();
    init.set_status(answer.status.as_u16());
    let response = web_sys::Response::new_with_opt_str_and_init(Some(&answer.body), &init)?;
    let headers = response.headers();
    answer.headers.iter().try_for_each(|(name, value)| headers.set(name, value))?;
    Ok(response)
}

/// A copy of `response` with our headers: status, status text, headers and body stream stay what
/// they are.
///
/// # Errors
/// When the runtime has no way to copy it: a 101 belongs to its socket, and statuses outside
/// 200-599 have no constructor. The client then gets the response itself. **Whatever happens here,
/// the server has answered: nothing is sent again.**
fn stamp(
    response: &web_sys::Response,
    inbound: &ProxiedRequest,
    served_by: ServerId,
    last_resort: bool,
) -> Result<web_sys::Response> {
    if response.status() == 101 {
        return Err("an upgraded connection cannot be copied".into());
    }
    let init: &web_sys::ResponseInit = response.unchecked_ref();
    let copy = web_sys::Response::new_with_opt_readable_stream_and_init(response.body().as_ref(), init)?;
    inbound.prepare_response(&mut Fields(copy.headers()), served_by, last_resort)?;
    Ok(copy)
}
