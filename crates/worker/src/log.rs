//! The log: one JSON line per event, for Workers Logs to index.
//!
//! `JSON.stringify` serializes every value, so that no value can break out of its line.

use tunnel_balancer_core::{Event, LogEntry, LogEvent, LogLevel, Pool, Reason, escape_invisible};
use worker::js_sys::{Date, JSON, Object, Reflect};
use worker::wasm_bindgen::JsValue;

use crate::glue;

/// Writes an entry. Its `None` fields are left out.
pub(crate) fn write(entry: &LogEntry<'_>) {
    let object = Object::new();
    let set = |name: &str, value: JsValue| {
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&object, &name.into(), &value);
    };
    let string = |name: &str, value: Option<&str>| value.iter().for_each(|value| set(name, (*value).into()));
    // Exact up to 2^53.
    let number = |name: &str, value: Option<u64>| value.iter().for_each(|value| set(name, (*value as f64).into()));
    set("ts", Date::new_0().to_iso_string().into());
    set("level", entry.level.as_str().into());
    set("event", entry.event.as_str().into());
    string("service", entry.service.as_deref());
    string("server", entry.server);
    string("request_id", entry.request_id);
    string("reason", entry.reason.map(Reason::as_str));
    string("detail", entry.detail.as_deref());
    number("duration_ms", entry.duration_ms());
    number("attempt", entry.attempt.map(u64::from));
    number("status", entry.status.map(u64::from));
    string("host", entry.host.as_deref());
    string("source", entry.source);
    number("services", entry.services.map(|count| count as u64));
    number("servers", entry.servers.map(|count| count as u64));
    let line = escape_invisible(JSON::stringify(&object).map(String::from).unwrap_or_default());
    let method = match entry.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info | LogLevel::Debug => "log",
    };
    glue::print(method, &line);
}

/// Writes the state changes of a pool since the last call, and returns them.
pub(crate) fn write_transitions(pool: &Pool) -> Vec<Event> {
    let events = pool.update(|state| state.drain_events());
    events.iter().for_each(|event| write(&LogEntry::transition(*event, pool.service())));
    events
}

/// Writes that the shared health cannot be read or written. The isolate works without it.
pub(crate) fn sharing_failed(detail: &str) {
    write(&LogEntry { detail: Some(detail.to_owned()), ..LogEntry::new(LogLevel::Warn, LogEvent::SharingFailed) });
}
