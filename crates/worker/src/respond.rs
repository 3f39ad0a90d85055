//! Responses to clients.

use tunnel_balancer_core::headers::HeaderFields;
use tunnel_balancer_core::{
    DrillError, Forwarded, LocalReply, LogEntry, Pool, ProxiedRequest, ReplyContext, RequestId, ServerId,
};
use tunnel_balancer_state::Inspection;
use worker::web_sys;

use crate::error::Result;
use crate::fetch::{FetchError, Incoming};
use crate::fields::Fields;
use crate::pending::Received;
use crate::{glue, log, random};

/// Returns the context of local replies to a request.
pub(crate) fn context(incoming: &Incoming) -> ReplyContext {
    // The id of the request in Cloudflare's logs, which the edge sets.
    let given = incoming.fields.value("cf-ray").and_then(RequestId::parse);
    let id = given.unwrap_or_else(|| RequestId::random(random::bits()));
    ReplyContext::new(incoming.fields.value("accept").map(str::to_owned), id)
}

/// Returns the response to a forwarded request, with the headers that `inspection` adds.
pub(crate) fn with(
    mut forwarded: Forwarded<Received, DrillError<FetchError>>,
    proxied: &ProxiedRequest,
    pool: &Pool,
    context: &ReplyContext,
    inspection: Inspection,
) -> Result<web_sys::Response> {
    let (trace, result) = (forwarded.trace.take(), forwarded.result());
    let add = |fields: &mut Fields| {
        let Ok(()) = inspection.add_headers(fields, trace.as_deref(), pool.service(), result);
    };
    let (id, mut response) = match (forwarded.response, forwarded.served_by) {
        (Ok(response), Some(id)) => (id, response),
        (Ok(response), None) => return Ok(response.response),
        (Err(reply), _) => return reply_with(reply, context, Some(pool), forwarded.last_tried, None, add),
    };
    let Ok(()) = proxied.prepare_response(&mut response.fields, id, forwarded.last_resort);
    add(&mut response.fields);
    glue::respond(&response.response, &response.fields.changes())
        .or_else(|_| reply_with(LocalReply::InvalidResponse, context, Some(pool), Some(id), None, add))
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
    reply_with(reply, context, pool, server, host, |_| {})
}

/// Returns a local reply with further headers.
fn reply_with(
    reply: LocalReply,
    context: &ReplyContext,
    pool: Option<&Pool>,
    server: Option<ServerId>,
    host: Option<&str>,
    add_headers: impl FnOnce(&mut Fields),
) -> Result<web_sys::Response> {
    let service = pool.map(Pool::service);
    let server = service.zip(server).and_then(|(service, server)| service.server(server));
    let server = server.map(|server| server.name.as_str());
    log::write(&LogEntry::local_reply(reply, service, server, context, host));
    let rendered = context.respond(reply, service);
    let mut fields = Fields::default();
    for (name, value) in &rendered.headers {
        let Ok(()) = fields.set(name, value);
    }
    add_headers(&mut fields);
    Ok(glue::reply(rendered.status.as_u16(), &fields.changes(), &rendered.body)?)
}
