//! The endpoint for a monitor on another machine, and for other proxies that share health.

use std::cell::RefCell;

use serde_json::to_string;
use tunnel_balancer_core::{Clock, PoolState};
use tunnel_balancer_state::{HealthSharing, Inbox, MAX_PUSH_BYTES, PushError, SIGNATURE_HEADER, SharedState};
use worker::{Env, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::runtime::{self, text_response};
use crate::services::Loaded;
use crate::store::{Colo, Kv, Monitor, Store as _};

/// The secret that both sides have.
const SECRET: &str = "BALANCER_MONITOR_KEY";

/// The shortest secret, in bytes.
const MIN_KEY: usize = 16;

thread_local! {
    /// The messages that this isolate received. The Durable Object or the cache has those of all.
    static INBOX: RefCell<Inbox> = RefCell::default();
}

/// Returns the secret, if messages are accepted.
pub(crate) fn key(env: &Env) -> Option<String> {
    env.secret(SECRET).ok().map(|secret| secret.to_string()).filter(|key| key.len() >= MIN_KEY)
}

/// Responds to a message. `None` if this Worker accepts none.
pub(crate) async fn respond(
    request: &web_sys::Request,
    loaded: &Loaded,
    env: &Env,
) -> Option<Result<web_sys::Response>> {
    let is_accepted = matches!(loaded.sharing, HealthSharing::DurableObject | HealthSharing::Monitor);
    let key = key(env).filter(|_| is_accepted)?;
    Some(receive(request, &key, loaded, env).await)
}

/// Returns the response to a message that is refused.
pub(crate) fn refuse(error: PushError) -> Result<web_sys::Response> {
    text_response(&error.to_string(), if error == PushError::InvalidBody { 400 } else { 401 })
}

async fn receive(request: &web_sys::Request, key: &str, loaded: &Loaded, env: &Env) -> Result<web_sys::Response> {
    let length = request.headers().get("content-length")?.and_then(|length| length.parse::<usize>().ok());
    if length.is_none_or(|length| length > MAX_PUSH_BYTES) {
        return text_response("the message is too long, or has no content-length", 413);
    }
    let signature = request.headers().get(SIGNATURE_HEADER)?.unwrap_or_default();
    let body = runtime::request_text(request).await?;
    let now = JsClock.now();
    let accepted = INBOX.with_borrow_mut(|inbox| {
        // A message that is not valid must not cost a request to the object.
        inbox.accept(key.as_bytes(), &signature, body.as_bytes(), now.as_millis())
    });
    let push = match accepted {
        Ok(push) => push,
        Err(error) => return refuse(error),
    };
    if loaded.sharing == HealthSharing::Monitor {
        // Another isolate may have received it. A race, or a cache that fails, repeats known facts.
        let mut received = Colo.inbox().await.unwrap_or_default();
        if let Err(error) = received.accept(key.as_bytes(), &signature, body.as_bytes(), now.as_millis()) {
            return refuse(error);
        }
        let _ = Colo.set_inbox(&received).await;
    }
    let services = loaded.services();
    push.state.merge_into(&services, PoolState::MAX_FACT_AGE, now);
    if loaded.sharing == HealthSharing::DurableObject {
        return Monitor::new(env).push(&signature, &body).await;
    }
    let state = SharedState::export(&services, "worker", now);
    let document = to_string(&state)?;
    if Kv::is_bound(env) {
        let kv = Kv::new(env);
        let mut record = kv.record().await?;
        if !state.has_same_states(&record.state()) && record.kv_budget.allows(now.as_millis()) {
            record.set_state(state);
            record.kv_budget.record(now.as_millis());
            kv.write(&record).await?;
        }
    } else {
        Colo.report(document.clone()).await?;
    }
    text_response(&document, 200)
}
