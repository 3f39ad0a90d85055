//! The control API of the Worker.
//!
//! The changes are stored in the Durable Object or in Workers KV, from which all isolates read
//! them. Without either, a change would affect one isolate for a moment, so it is refused.

use std::cell::RefCell;

use tunnel_balancer_core::headers::{DRILL_HEADER, TRACE_HEADER};
use tunnel_balancer_core::{Clock, LogEntry, LogEvent, LogLevel, Reason, Service, Services, Timestamp};
use tunnel_balancer_state::control::{
    CONTROL_PATH, ControlOutcome, ControlRequest, ControlResponse, Failures, ListedService, Override, Token, Tokens,
};
use tunnel_balancer_state::{HealthSharing, Inspection, MonitorRecord, NotifyTarget};
use worker::js_sys::Uint8Array;
use worker::{Env, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::fields::Fields;
use crate::log;
use crate::pending::value_of;
use crate::query_of;
use crate::runtime::text_response;
use crate::services::Loaded;
use crate::store::{Kv, Monitor};

/// The secret that authorizes operators.
const SECRET: &str = "BALANCER_CONTROL_TOKEN";

thread_local! {
    static FAILURES: RefCell<Failures> = RefCell::default();
}

/// Returns whether a path belongs to the control API.
pub(crate) fn is_control(path: &str) -> bool {
    path.strip_prefix(CONTROL_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns what the headers of a request to `service` request for it.
pub(crate) fn inspection(fields: &Fields, service: &Service, loaded: &Loaded, env: &Env) -> Inspection {
    if fields.value(TRACE_HEADER).is_none() && fields.value(DRILL_HEADER).is_none() {
        return Inspection::default();
    }
    let status = loaded.status.as_ref().and_then(|status| Token::new(status.token.as_ref()?).ok());
    let (tokens, now) = (Tokens::new(token(env), status), JsClock.now().as_millis());
    let Ok(inspection) = Inspection::read(fields, &tokens, service, now);
    inspection
}

/// Returns the token of operators.
pub(crate) fn token(env: &Env) -> Option<Token> {
    env.secret(SECRET).ok().and_then(|secret| Token::new(&secret.to_string()).ok())
}

/// Responds to a request. `path` is that of the control API, whatever the prefix of the request is.
pub(crate) async fn respond(
    request: &web_sys::Request,
    path: &str,
    loaded: &Loaded,
    env: &Env,
) -> Result<web_sys::Response> {
    let Some(token) = token(env) else { return response(&ControlResponse::not_found()) };
    let authorization = request.headers().get("authorization")?;
    let now = JsClock.now();
    let checked =
        FAILURES.with_borrow_mut(|failures| failures.check(&token, authorization.as_deref(), now.as_millis()));
    if let Err(refused) = checked {
        // Further ones are limited.
        if refused.status == 401 {
            let entry = LogEntry::new(LogLevel::Warn, LogEvent::ConnectionRejected);
            let detail = Some("the control API".to_owned());
            log::write(&LogEntry { reason: Some(Reason::Unauthorized), detail, ..entry });
        }
        return response(&refused);
    }
    match carry_out(request, path, loaded, env, now).await {
        Ok(response) => Ok(response),
        Err(error) => {
            log::sharing_failed(&error.to_string());
            response(&ControlResponse::error(503, "storage_failed", "the changes cannot be read or stored now"))
        }
    }
}

async fn carry_out(
    request: &web_sys::Request,
    path: &str,
    loaded: &Loaded,
    env: &Env,
    now: Timestamp,
) -> Result<web_sys::Response> {
    match loaded.sharing {
        HealthSharing::DurableObject => Monitor::new(env).control(request, path).await,
        HealthSharing::Kv => {
            let request = Received::read(request, path).await?;
            let kv = Kv::new(env);
            let mut record = kv.record().await?;
            let expired = record.control.expire(now.as_millis());
            announce(&mut record, &loaded.notify, LogEvent::ControlExpired, &expired);
            let listed = listed(loaded.configured(), &loaded.services(), now);
            let handled = request.handle(&mut record, &listed, &loaded.notify, true, now);
            if !handled.changed.is_empty() {
                let overrides = record.control.overrides.clone();
                kv.write(&record).await?;
                loaded.apply(&overrides, now);
            }
            response(&handled.response)
        }
        _ => response(&ControlResponse::no_storage()),
    }
}

/// A request that is authorized, with its body.
pub(crate) struct Received {
    method: String,
    /// The path of the control API.
    path: String,
    url: String,
    content_type: Option<String>,
    origin: Option<String>,
    body: Vec<u8>,
}

impl Received {
    /// Reads a request.
    pub(crate) async fn read(request: &web_sys::Request, path: &str) -> Result<Self> {
        let headers = request.headers();
        let length = headers.get("content-length")?.and_then(|length| length.parse::<usize>().ok());
        // One byte more than the limit is refused.
        let body = if length.is_some_and(|length| length > ControlRequest::MAX_BODY) {
            vec![0; ControlRequest::MAX_BODY + 1]
        } else {
            Uint8Array::new(&value_of(&request.array_buffer()?).await?).to_vec()
        };
        let (content_type, origin) = (headers.get("content-type")?, headers.get("origin")?);
        let (method, path, url) = (request.method(), path.to_owned(), request.url());
        Ok(Self { method, path, url, content_type, origin, body })
    }

    /// Carries it out, and announces what it changed. The caller writes the record to Workers KV if
    /// `is_in_kv`.
    pub(crate) fn handle(
        &self,
        record: &mut MonitorRecord,
        services: &[ListedService<'_>],
        targets: &[NotifyTarget],
        is_in_kv: bool,
        now: Timestamp,
    ) -> ControlOutcome {
        let request = ControlRequest {
            method: &self.method,
            path: &self.path,
            query: query_of(&self.url),
            content_type: self.content_type.as_deref(),
            host: self.url.split('/').nth(2),
            origin: self.origin.as_deref(),
            body: &self.body,
        };
        let handled = record.respond(request, services, is_in_kv, now);
        announce(record, targets, LogEvent::ControlChanged, &handled.changed);
        handled
    }
}

/// Logs changes or their ends, and adds them to the notifications.
pub(crate) fn announce(record: &mut MonitorRecord, targets: &[NotifyTarget], event: LogEvent, changes: &[Override]) {
    let now = JsClock.now().as_millis();
    for change in changes {
        log::write(&change.log_entry(event));
        record.notifications.push(targets, change.notice(event == LogEvent::ControlExpired), now);
    }
}

/// Returns the response to a client.
pub(crate) fn response(from: &ControlResponse) -> Result<web_sys::Response> {
    let response = text_response(&from.body, from.status)?;
    let headers = response.headers();
    from.headers().iter().try_for_each(|(name, value)| headers.set(name, value))?;
    Ok(response)
}

/// Returns the configured services with the state of their servers in these pools.
pub(crate) fn listed<'s>(configured: &'s [Service], services: &Services, now: Timestamp) -> Vec<ListedService<'s>> {
    let status = |name: &str| {
        let pool = services.pools().find(|pool| pool.service().name() == name)?;
        Some(pool.update(|state| state.status(now).servers))
    };
    let listed = |service: &'s Service| ListedService { service, status: status(&service.name()).unwrap_or_default() };
    configured.iter().map(listed).collect()
}
