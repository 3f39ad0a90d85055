//! The status endpoint of the Worker.
//!
//! An isolate shows its own pools. What operators changed and what happened is in the Durable
//! Object or in Workers KV. If neither responds, the report is made without it and says so.

use std::cell::RefCell;
use std::rc::Rc;

use tunnel_balancer_core::{Clock, LogEntry, LogEvent, LogLevel, Reason};
use tunnel_balancer_state::control::{Control, Failures};
use tunnel_balancer_state::{HealthSharing, MonitorRecord, json};
use tunnel_balancer_status::{
    Balancer, Endpoint, EndpointOutcome, Host, Observation, StatusRequest, StatusResponse, View,
};
use worker::worker_sys::Context;
use worker::{Env, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::fetch::Invocation;
use crate::runtime::text_response;
use crate::services::Loaded;
use crate::store::{Kv, Monitor};
use crate::{control, log, path_of, probe_run, query_of, sharing};

thread_local! {
    static FAILURES: RefCell<Failures> = RefCell::default();
}

/// What a request is for.
pub(crate) enum Target {
    /// A service.
    Service,
    /// The control API, with the path as that API knows it.
    Control(String),
    /// A path of the endpoint.
    Status(Endpoint),
    /// No service gets requests for this path.
    Nothing,
}

/// Returns what a path is for.
pub(crate) fn target(path: &str, loaded: &Loaded, env: &Env) -> Target {
    if control::is_control(path) {
        return Target::Control(path.to_owned());
    }
    let prefix = loaded.status.as_ref().map_or(Endpoint::PREFIX, |status| &status.path);
    if !path.starts_with(prefix) && !path.starts_with(Endpoint::PREFIX) {
        return Target::Service;
    }
    let token = control::token(env);
    let has_control = token.is_some();
    // Without a store, changes are refused.
    let is_stored = matches!(loaded.sharing, HealthSharing::DurableObject | HealthSharing::Kv);
    let Some(endpoint) = Endpoint::new(loaded.status.as_ref(), token, is_stored) else {
        return if has_control && Endpoint::is_below_default(path) { Target::Nothing } else { Target::Service };
    };
    match endpoint.control_path(path) {
        Some(path) if has_control => Target::Control(path),
        _ if endpoint.path(path).is_some() => Target::Status(endpoint),
        _ if has_control && Endpoint::is_below_default(path) => Target::Nothing,
        _ => Target::Service,
    }
}

/// Responds to a request below the prefix of the endpoint.
pub(crate) async fn respond(
    request: &web_sys::Request,
    endpoint: &Endpoint,
    loaded: &'static Loaded,
    env: Env,
    context: Context,
) -> Result<web_sys::Response> {
    let (url, method, headers) = (request.url(), request.method(), request.headers());
    let (authorization, accept) = (headers.get("authorization")?, headers.get("accept")?);
    let received = StatusRequest {
        method: &method,
        path: path_of(&url),
        query: query_of(&url),
        authorization: authorization.as_deref(),
        accept: accept.as_deref(),
    };
    let now = JsClock.now().as_millis();
    let received = FAILURES.with_borrow_mut(|failures| endpoint.receive(received, failures, true, now));
    let view = match received {
        EndpointOutcome::View(view) => view,
        EndpointOutcome::Response(refused) => {
            // Further ones are limited.
            if refused.status == 401 {
                let entry = LogEntry::new(LogLevel::Warn, LogEvent::ConnectionRejected);
                let detail = Some("the status page".to_owned());
                log::write(&LogEntry { reason: Some(Reason::Unauthorized), detail, ..entry });
            }
            return response(&refused);
        }
    };
    let shown = show(&view, loaded, &env).await;
    probe(loaded, env, context);
    response(&shown)
}

/// Makes a view.
async fn show(view: &View, loaded: &'static Loaded, env: &Env) -> StatusResponse {
    sharing::refresh(loaded, env).await;
    let mut sharing = sharing::observed(loaded.sharing);
    let mut control = None;
    if view.needs_history() {
        match sharing::within(sharing::VIEW_TIMEOUT, history(view, loaded, env)).await {
            Ok(read) => control = read,
            Err(error) => sharing.error = Some(error.to_string()),
        }
    }
    let (now, services, overrides) = (JsClock.now(), loaded.services(), loaded.overrides());
    let seen = Observation {
        now: now.as_millis(),
        balancer: Balancer {
            host: Host::Worker,
            version: env!("CARGO_PKG_VERSION"),
            started: loaded.started,
            config_rejected: loaded.is_fallback,
        },
        sharing,
        services: view.observe(&services, loaded.configured(), now),
        overrides: &overrides,
        history: control.as_ref().map(|control| &control.history),
        history_since: control.as_ref().and_then(|control| control.history_since(now.as_millis())),
    };
    view.render(&seen)
}

/// Returns what happened, if it is stored.
async fn history(view: &View, loaded: &Loaded, env: &Env) -> Result<Option<Control>> {
    let document = match loaded.sharing {
        HealthSharing::DurableObject => Monitor::new(env).history(view.service()).await?,
        HealthSharing::Kv => Kv::new(env).history().await?,
        _ => return Ok(None),
    };
    let record = json::from_str::<MonitorRecord>(&document).map_err(|error| error.to_string())?;
    Ok(Some(record.control))
}

/// Runs the probes that are due, after the response, as beside any request.
fn probe(loaded: &'static Loaded, env: Env, context: Context) {
    let (services, invocation) = (loaded.services(), Invocation::of_view(context, env, loaded));
    let probing = Rc::clone(&invocation);
    invocation.wait_until(async move {
        probe_run::run(&services, &probing).await;
        services.pools().for_each(|pool| probing.share_transitions(pool));
    });
}

/// Returns the response of a path that neither a service nor the endpoint has.
pub(crate) fn nothing() -> Result<web_sys::Response> {
    response(&StatusResponse::not_found())
}

fn response(from: &StatusResponse) -> Result<web_sys::Response> {
    let response = text_response(&from.body, from.status)?;
    let headers = response.headers();
    from.headers.iter().try_for_each(|(name, value)| headers.set(name, value))?;
    Ok(response)
}
