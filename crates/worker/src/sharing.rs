//! Shared health: the isolates exchange what they know about servers, beside requests.
//!
//! No request waits for an exchange. It starts after a response and outlives it. Without a store,
//! or while it is unavailable, an isolate works with what it knows.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::{Either, select};
use tunnel_balancer_core::Clock;
use tunnel_balancer_state::json::from_str;
use tunnel_balancer_state::{HealthSharing, SharedState, SyncKind, SyncSchedule};
use tunnel_balancer_status::Sharing;
use worker::Env;

use crate::clock::JsClock;
use crate::error::Result;
use crate::fetch::Invocation;
use crate::services::Loaded;
use crate::store::{Colo, Kv, Monitor, Store};
use crate::{log, random};

/// What the isolate remembers of its exchanges.
struct Memory {
    schedule: SyncSchedule,
    /// The last document. An unchanged one is not parsed again.
    last: String,
    /// The name of the isolate in its facts.
    reporter: String,
    /// When the last exchange ended that succeeded, in milliseconds since 1970.
    succeeded_at: Option<u64>,
    /// Why the last exchange failed.
    error: Option<String>,
}

/// The longest time of one exchange.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time of an exchange, or of a read, that a view waits for.
pub(crate) const VIEW_TIMEOUT: Duration = Duration::from_secs(2);

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// Records that the isolate observed a change, which others should know.
pub(crate) fn on_change() {
    MEMORY.with_borrow_mut(|memory| memory.iter_mut().for_each(|memory| memory.schedule.on_change()));
}

/// Returns how health is shared.
pub(crate) fn observed(mode: HealthSharing) -> Sharing {
    let now = JsClock.now().as_millis();
    MEMORY.with_borrow(|memory| Sharing {
        mode: mode.as_str(),
        age_ms: memory.as_ref().and_then(|memory| memory.succeeded_at).map(|at| now.saturating_sub(at)),
        error: memory.as_ref().and_then(|memory| memory.error.clone()),
    })
}

/// Makes the exchange that is due, if there is one, and waits for it: a view shows what others
/// know.
pub(crate) async fn refresh(loaded: &'static Loaded, env: &Env) {
    if let Some((sync, _)) = next(loaded) {
        run(VIEW_TIMEOUT, sync, loaded, env).await;
    }
}

/// Starts the exchange that is due, if there is one.
pub(crate) fn exchange(loaded: &'static Loaded, env: &Env, invocation: &Invocation) {
    let mut next = next(loaded);
    if next.is_none() {
        return;
    }
    let env = env.clone();
    invocation.wait_until(async move {
        while let Some((sync, wait)) = next {
            JsClock.sleep(Duration::from_millis(wait)).await;
            run(TIMEOUT, sync, loaded, &env).await;
            let now = JsClock.now().as_millis();
            next = MEMORY.with_borrow_mut(|memory| memory.as_mut()?.schedule.start_again(now));
        }
    });
}

/// Returns the next exchange, and the time in milliseconds until it starts.
fn next(loaded: &Loaded) -> Option<(SyncKind, u64)> {
    let interval = match loaded.sharing {
        HealthSharing::Isolate => return None,
        HealthSharing::Kv => Kv::CACHE_TTL,
        _ => Duration::from_secs(1),
    };
    let new = || Memory {
        schedule: SyncSchedule::new(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
        last: String::new(),
        reporter: format!("isolate-{:x}", random::bits()),
        succeeded_at: None,
        error: None,
    };
    let now = JsClock.now().as_millis();
    MEMORY.with_borrow_mut(|memory| memory.get_or_insert_with(new).schedule.start(now))
}

/// Makes an exchange, and records its result.
async fn run(timeout: Duration, sync: SyncKind, loaded: &Loaded, env: &Env) {
    let result = within(timeout, exchange_once(sync, loaded, env)).await;
    if let Err(error) = &result {
        log::sharing_failed(&error.to_string());
    }
    let now = JsClock.now().as_millis();
    MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return };
        memory.schedule.finish(sync, result.is_ok(), now);
        if result.is_ok() {
            memory.succeeded_at = Some(now);
        }
        memory.error = result.err().map(|error| error.to_string());
    });
}

/// Returns the result of a future, or an error if it takes too long.
pub(crate) async fn within<T>(timeout: Duration, future: impl Future<Output = Result<T>>) -> Result<T> {
    match select(std::pin::pin!(future), std::pin::pin!(JsClock.sleep(timeout))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(format!("no response within {} s", timeout.as_secs()).into()),
    }
}

/// Exchanges facts with the store of the configuration.
async fn exchange_once(sync: SyncKind, loaded: &Loaded, env: &Env) -> Result<()> {
    match loaded.sharing {
        HealthSharing::Colo => exchange_with(&Colo, sync, loaded).await,
        HealthSharing::DurableObject => exchange_with(&Monitor::new(env), sync, loaded).await,
        HealthSharing::Kv => exchange_with(&Kv::new(env), sync, loaded).await,
        // The messages of the monitor are stored where there is a binding.
        _ if Kv::is_bound(env) => exchange_with(&Kv::new(env), sync, loaded).await,
        _ => exchange_with(&Colo, SyncKind::Read, loaded).await,
    }
}

/// Reads the document and merges it. Writes what the isolate knows if it has to report.
async fn exchange_with<S: Store>(store: &S, sync: SyncKind, loaded: &Loaded) -> Result<()> {
    if let Some(document) = store.read().await? {
        merge(&document, S::MAX_AGE, loaded)?;
    }
    if sync == SyncKind::Report {
        let facts = export(loaded)?;
        if let Some(document) = store.report(facts).await? {
            merge(&document, S::MAX_AGE, loaded)?;
        }
    }
    Ok(())
}

/// Returns what the isolate knows, as a document.
fn export(loaded: &Loaded) -> Result<String> {
    let reporter = MEMORY.with_borrow_mut(|memory| {
        let memory = memory.as_mut()?;
        memory.schedule.on_export();
        Some(memory.reporter.clone())
    });
    let state = SharedState::export(&loaded.services(), &reporter.unwrap_or_default(), JsClock.now());
    let state = state.with_overrides(loaded.overrides());
    Ok(serde_json::to_string(&state)?)
}

/// Reads a document.
pub(crate) fn parse(document: &str) -> Result<SharedState> {
    Ok(from_str(document).map_err(|error| error.to_string())?)
}

/// Merges a document, unless it is the last one.
fn merge(document: &str, max_age: Duration, loaded: &Loaded) -> Result<()> {
    let is_new = MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return true };
        let is_new = memory.last != document;
        if is_new {
            document.clone_into(&mut memory.last);
        }
        is_new
    });
    let now = JsClock.now();
    if is_new {
        let state = parse(document)?;
        loaded.apply(&state.control.overrides, now);
        state.merge_into(&loaded.services(), max_age, now);
    }
    Ok(())
}
