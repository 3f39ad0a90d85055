//! Responses to clients.

use tunnel_balancer_core::{Forwarded, LocalReply, LogEntry, Pool, ProxiedRequest, ReplyContext, RequestId, ServerId};
use worker::wasm_bindgen::JsCast;
use worker::{Result, web_sys};

use crate::fields::Fields;
use crate::{log, random};

/// Returns the context of local replies to a request.
pub(crate) fn context(request: &web_sys::Request) -> Result<ReplyContext> {
    let headers = request.headers();
    // The id of the request in Cloudflare's logs, which the edge sets.
    let given = headers.get("cf-ray")?.as_deref().and_then(RequestId::parse);
    let id = given.unwrap_or_else(|| RequestId::random(random::bits()));
    Ok(ReplyContext::new(headers.get("accept")?, id))
}

/// Returns the response to a forwarded request.
pub(crate) fn with(
    forwarded: Forwarded<web_sys::Response>,
    proxied: &ProxiedRequest,
    pool: &Pool,
    context: &ReplyContext,
) -> Result<web_sys::Response> {
    let response = match forwarded.response {
        Ok(response) => response,
        Err(reply) => return local_reply(reply, context, Some(pool), forwarded.last_tried, None),
    };
    let Some(id) = forwarded.served_by else { return Ok(response) };
    prepare(&response, proxied, id, forwarded.last_resort)
        .or_else(|_| local_reply(LocalReply::InvalidResponse, context, Some(pool), Some(id), None))
}

/// Returns a local reply. `pool` is the pool of the request's service, if it is known, `server` the
/// server of the last attempt, and `host` the host that the client requested.
pub(crate) fn local_reply(
    reply: LocalReply,
    context: &ReplyContext,
    pool: Option<&Pool>,
    server: Option<ServerId>,
    host: Option<&str>,
) -> Result<web_sys::Response> {
    let service = pool.map(Pool::service);
    let server = service.zip(server).and_then(|(service, server)| service.server(server));
    let server = server.map(|server| server.name.as_str());
    log::write(&LogEntry::local_reply(reply, service, server, context, host));
    let rendered = context.respond(reply, service);
    let init = web_sys::ResponseInit::new();
    init.set_status(rendered.status.as_u16());
    let response = web_sys::Response::new_with_opt_str_and_init(Some(&rendered.body), &init)?;
    let headers = response.headers();
    rendered.headers.iter().try_for_each(|(name, value)| headers.set(name, value))?;
    Ok(response)
}

/// Returns a copy of `response` with the headers of the balancer. Status, status text, socket and
/// body stream are unchanged.
///
/// # Errors
/// If the runtime cannot copy it.
fn prepare(
    response: &web_sys::Response,
    proxied: &ProxiedRequest,
    served_by: ServerId,
    last_resort: bool,
) -> Result<web_sys::Response> {
    // A 101 is copied with its `webSocket`.
    let init: &web_sys::ResponseInit = response.unchecked_ref();
    let copy = web_sys::Response::new_with_opt_readable_stream_and_init(response.body().as_ref(), init)?;
    proxied.prepare_response(&mut Fields(copy.headers()), served_by, last_resort)?;
    Ok(copy)
}
