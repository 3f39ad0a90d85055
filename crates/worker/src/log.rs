//! One JSON line per event, for Workers Logs to index.
//!
//! Every value goes through `JSON.stringify`, so that nothing a server or a file says can break out
//! of its line.

use tunnel_balancer_core::{LocalReply, Pool, RequestId};
use worker::js_sys::{JSON, Object, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{console_error, console_log, console_warn};

/// Writes the changes in a pool since the last call.
pub(crate) fn events(pool: &Pool) {
    for event in pool.update(|state| state.drain_events()) {
        let server = pool.service().server(event.server).map_or("", |server| server.name.as_str());
        let line =
            json(&[("service", &pool.service().name()), ("server", server), ("event", &event.change.to_string())]);
        console_log!("{line}");
    }
}

/// Writes that a request got an answer of ours, under the id that the answer carries.
pub(crate) fn local_reply(reply: LocalReply, id: &RequestId, pool: Option<&Pool>) {
    let service = pool.map(|pool| pool.service().name()).unwrap_or_default();
    let line = json(&[
        ("event", "own answer"),
        ("service", &service),
        ("problem", reply.code()),
        ("request", &id.to_string()),
    ]);
    console_warn!("{line}");
}

/// Writes that an attempt brought no response, with what the runtime says of it.
pub(crate) fn failed_attempt(server: &str, attempt: u32, error: &JsValue) {
    let reason = message_of(error).unwrap_or_else(|| "unknown error".to_owned());
    let line = json(&[
        ("event", "attempt failed"),
        ("server", server),
        ("attempt", &attempt.to_string()),
        ("reason", &reason),
    ]);
    console_warn!("{line}");
}

/// Returns the message of an exception.
pub(crate) fn message_of(error: &JsValue) -> Option<String> {
    Reflect::get(error, &"message".into()).ok()?.as_string()
}

/// Writes why there is no valid configuration.
pub(crate) fn invalid_configuration(source: &str, errors: &str) {
    let line = json(&[("event", "invalid configuration"), ("source", source), ("errors", errors)]);
    console_error!("{line}");
}

fn json(fields: &[(&str, &str)]) -> String {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a field of a plain object of our own cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), &(*value).into());
    }
    JSON::stringify(&object).map(String::from).unwrap_or_default()
}
