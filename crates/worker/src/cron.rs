//! Cron triggers: health checks without traffic, for the stores without a Durable Object.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::to_string;
use tunnel_balancer_core::{Clock, Event, LogEvent, Pool, PoolState, Services, Timestamp};
use tunnel_balancer_state::{HealthSharing, ProbeRun, SharedState};
use worker::Env;

use crate::clock::JsClock;
use crate::error::Result;
use crate::fetch::Invocation;
use crate::services::{self, Loaded};
use crate::sharing::parse;
use crate::store::{Colo, Kv, Monitor, Store as _};
use crate::{control, log, notifier, probe_run};

/// The longest time in which probes are repeated until they decide: `fall` probes are needed for an
/// unhealthy server.
const MAX_TIME: Duration = Duration::from_secs(40);

/// The name of the cron trigger in its facts.
const REPORTER: &str = "cron";

/// Runs the health checks of all services once.
pub(crate) async fn scheduled(env: Env) {
    let Some(loaded) = services::load(&env) else { return };
    if let Err(error) = run(loaded, &env).await {
        log::sharing_failed(&error.to_string());
    }
}

async fn run(loaded: &Loaded, env: &Env) -> Result<()> {
    match loaded.sharing {
        HealthSharing::Colo => {
            let services = loaded.services();
            if let Some(document) = Colo.read().await? {
                parse(&document)?.merge_into(&services, Colo::MAX_AGE, JsClock.now());
            }
            check(&services, &mut |_, _| ()).await;
            Colo.report(to_string(&SharedState::export(&services, REPORTER, JsClock.now()))?).await.map(drop)
        }
        HealthSharing::Kv => {
            let kv = Kv::new(env);
            let mut record = kv.record().await?;
            let now = JsClock.now();
            let is_new = record.control.since == 0;
            record.control.begin(now.as_millis());
            record.retain(&loaded.notify, loaded.configured());
            let expired = record.control.expire(now.as_millis());
            control::announce(&mut record, &loaded.notify, LogEvent::ControlExpired, &expired);
            let configured = loaded.configured();
            let services = services::apply(&loaded.new_pools(), configured, &record.control.overrides, now);
            if !record.kv_budget.allows(now.as_millis()) {
                return Ok(());
            }
            record.state().merge_into(&services, Kv::MAX_AGE, now);
            let before = record.notifications.without_heartbeats();
            let targets = &loaded.notify;
            check(&services, &mut |pool, events| record.observe(targets, pool, events, JsClock.now())).await;
            let record = RefCell::new(record);
            notifier::deliver(&record, targets).await;
            let mut record = record.into_inner();
            let state = SharedState::export(&services, REPORTER, JsClock.now());
            let is_same = !is_new && expired.is_empty() && before == record.notifications.without_heartbeats();
            if is_same && state.has_same_states(&record.state()) {
                return Ok(());
            }
            record.set_state(state);
            // Operators may have changed something in the meantime.
            record.take_over(&kv.record().await?, targets, JsClock.now());
            record.kv_budget.record(JsClock.now().as_millis());
            kv.write(&record).await
        }
        // The object checks that its alarms still come.
        HealthSharing::DurableObject => Monitor::new(env).state().await.map(drop),
        _ => Ok(()),
    }
}

/// Probes all servers, until the results are clear or the time is over. `observe` gets every pool
/// with its changes.
async fn check(services: &Services, observe: &mut dyn FnMut(&Pool, &[Event])) {
    let end = JsClock.now() + MAX_TIME;
    let invocation = Invocation::of_probes(ProbeRun::MAX_PROBES);
    loop {
        probe_run::run(services, &invocation).await;
        services.pools().for_each(|pool| observe(pool, &log::write_transitions(pool)));
        let next = next_unclear(services, JsClock.now()).filter(|next| *next < end && !invocation.is_used_up());
        let Some(next) = next else { return };
        JsClock.sleep(next.since(JsClock.now()).max(Duration::from_millis(100))).await;
    }
}

/// Returns when the next probe is due of a service with a server whose last results contradict its
/// state.
fn next_unclear(services: &Services, now: Timestamp) -> Option<Timestamp> {
    let is_unclear = |state: &PoolState| state.export("").servers.iter().any(|server| server.contrary_streak > 0);
    let due = services
        .pools()
        .filter_map(|pool| pool.update(|state| if is_unclear(state) { state.next_probe_at(now) } else { None }));
    due.min()
}
