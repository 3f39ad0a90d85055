//! The state of a pool in a form that other pools can merge: isolates share no memory, but they can
//! share this.
//!
//! A snapshot has one entry per server with a fact, and each entry has three facts:
//! its active health, its ejection, and whether it is held back. Each fact has its own time.
//! If the result of a probe were also newer than an ejection, no ejection would outlast the next
//! probe of any isolate.
//!
//! Facts have a total order: the newer wins, and of two with the same time the worse. A merge keeps
//! the greater of each two. That is commutative, associative and idempotent, so snapshots may
//! arrive late, twice and in any order.

use std::time::Duration;

use super::PoolState;
use super::ejection::{Cause, Ejection};
use super::health::Health;
use super::server_state::{EjectionFact, FailbackFact, HealthFact, ServerState, Signal};
use crate::hash;
use crate::server_set::ServerId;
use crate::service::Server;
use crate::service::{Failback, HealthCheck};
use crate::time::Timestamp;

/// The facts of a pool about its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The version of the format, [`VERSION`](Self::VERSION). Readers ignore unknown fields.
    #[cfg_attr(feature = "serde", serde(default))]
    pub version: u32,
    /// Where the servers were seen from, such as a data center; empty: valid everywhere. A place
    /// that cannot reach a server must not make the others stop using it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub scope: String,
    /// One entry per server with a fact.
    #[cfg_attr(feature = "serde", serde(default))]
    pub servers: Vec<ServerSnapshot>,
}

impl Snapshot {
    /// The version of the format that this crate writes.
    pub const VERSION: u32 = 1;
}

/// The facts of a pool about one server. Times are milliseconds on the hosts' common clock, 0 for
/// never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// The server's name.
    pub server: String,
    /// A hash of its address and its health check: facts about another address are no facts about
    /// this one. 0 if unknown, as in a snapshot that was written by hand.
    pub identity: u64,
    /// The isolate or host that exported it.
    pub reporter: String,
    /// When the server was probed last.
    pub probed_at: u64,
    /// Its state by probes.
    pub health: Health,
    /// Probe results in a row that contradict `health`.
    pub contrary_streak: u32,
    /// When it was ejected or unejected last.
    pub state_changed_at: u64,
    /// Until when it is ejected, if it is.
    pub ejected_until: Option<u64>,
    /// Ejections that count towards the duration of the next one.
    pub ejection_count: u32,
    /// Why it is ejected.
    pub cause: Cause,
    /// Until when a trial is waited for.
    pub trial_until: Option<u64>,
    /// When it was held back, or released, last.
    pub failback_changed_at: u64,
    /// Whether it was held back then, for as long as [`Failback`](crate::Failback) sets.
    pub awaiting_failback: bool,
}

impl PoolState {
    /// The oldest fact that [`merge`](Self::merge) accepts.
    pub const MAX_FACT_AGE: Duration = Duration::from_secs(5 * 60);

    /// How far the clock of another host may be ahead.
    const MAX_CLOCK_SKEW: Duration = Duration::from_secs(30);

    /// Sets where this pool sees its servers from. It merges snapshots of this scope, and those
    /// without one.
    pub fn set_scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// Returns a snapshot of this pool. `reporter` names the isolate or host.
    pub fn export(&self, reporter: &str) -> Snapshot {
        let time = |at: Timestamp| if at == Timestamp::ZERO { 0 } else { self.time.reading_at(at).as_millis() };
        let servers = self.service.servers().iter().zip(&self.servers).enumerate();
        let servers = servers.filter(|(_, (_, state))| state.has_facts());
        let servers = servers.filter_map(|(index, (server, state))| {
            let id = ServerId::new(index)?;
            let (health, ejection) = (state.health_fact(), state.ejection_fact());
            let failback = state.failback_fact();
            Some(ServerSnapshot {
                server: server.name.clone(),
                identity: identity(server, self.service.health_check_of(id)),
                reporter: reporter.to_owned(),
                probed_at: time(health.probed_at),
                health: health.health,
                contrary_streak: health.contrary_streak,
                state_changed_at: time(ejection.changed_at),
                ejected_until: ejection.ejected_until.map(time),
                ejection_count: ejection.ejection_count,
                cause: ejection.cause,
                trial_until: ejection.trial_until.map(time),
                failback_changed_at: time(failback.changed_at),
                awaiting_failback: failback.awaiting,
            })
        });
        Snapshot { version: Snapshot::VERSION, scope: self.scope.clone(), servers: servers.collect() }
    }

    /// Merges the facts that are newer than those of this pool. Ignored are facts about unknown
    /// servers or other addresses, those of another scope, older ones than five minutes, and those
    /// more than 30 s in the future.
    ///
    /// No events are reported: the pool that observed a change has reported it.
    pub fn merge(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.merge_within(snapshot, Self::MAX_FACT_AGE, now);
    }

    /// Merges facts like [`merge`](Self::merge), up to another age. For a store that is written
    /// only when a state changes: there an old fact may be the newest.
    pub fn merge_within(&mut self, snapshot: &Snapshot, max_age: Duration, now: Timestamp) {
        let now = self.advance(now);
        if !snapshot.scope.is_empty() && snapshot.scope != self.scope {
            return;
        }
        for entry in &snapshot.servers {
            let servers = self.service.servers();
            let index = servers.iter().position(|server| server.name == entry.server);
            let Some((id, server)) = index.and_then(|index| Some((ServerId::new(index)?, servers.get(index)?))) else {
                continue;
            };
            if entry.identity == 0 || entry.identity == identity(server, self.service.health_check_of(id)) {
                self.merge_entry(id, entry, max_age, now);
            }
        }
    }

    fn merge_entry(&mut self, id: ServerId, entry: &ServerSnapshot, max_age: Duration, now: Timestamp) {
        let time = |at: u64| self.time.time_at(Timestamp::from_millis(at));
        let is_current = |at: Timestamp| at <= now + Self::MAX_CLOCK_SKEW && now.since(at) <= max_age;
        // Limits must not depend on when a fact arrives: a fact that arrives twice is the same one.
        let changed_at = time(entry.state_changed_at);
        let latest = changed_at + self.service.ejection.max_time.max(Ejection::LONGEST_PAUSE);
        let ejected_until = entry.ejected_until.map(|until| time(until).min(latest));
        let latest_trial = now + Self::MAX_CLOCK_SKEW + self.service.retry.trial_timeout();
        let trial_until = entry.trial_until.map(time).filter(|until| *until <= latest_trial);
        let health = HealthFact {
            probed_at: time(entry.probed_at),
            health: entry.health,
            contrary_streak: entry.contrary_streak,
        };
        let ejection = EjectionFact {
            changed_at,
            ejected_until,
            ejection_count: entry.ejection_count.min(Ejection::MAX_COUNT),
            cause: ejected_until.map(|_| entry.cause).unwrap_or_default(),
            trial_until: trial_until.filter(|_| ejected_until.is_some()),
        };
        let failback = FailbackFact {
            changed_at: time(entry.failback_changed_at),
            awaiting: entry.awaiting_failback && self.service.failback != Failback::Auto,
        };
        let known = |state: &Self| state.servers.get(id.index()).map(ServerState::ejection_fact);
        if entry.state_changed_at > 0 && is_current(ejection.changed_at) && Some(ejection) > known(self) {
            self.observe(id, Signal::EjectionMerged(ejection), now);
        }
        let known = self.servers.get(id.index()).map(|server| server.health_fact().key());
        let is_probed = self.service.health_check_of(id).is_some() && entry.probed_at > 0;
        if is_probed && is_current(health.probed_at) && Some(health.key()) > known {
            self.observe(id, Signal::HealthMerged(health), now);
        }
        let known = self.servers.get(id.index()).map(ServerState::failback_fact);
        if entry.failback_changed_at > 0 && is_current(failback.changed_at) && Some(failback) > known {
            self.observe(id, Signal::FailbackMerged(failback), now);
        }
    }
}

/// Returns a hash of a server's address and of the settings that decide the result of a probe.
/// Versions must agree, so it is part of the format. A setting that a later version adds is omitted
/// at its default.
fn identity(server: &Server, check: Option<&HealthCheck>) -> u64 {
    /// JavaScript's largest safe integer: snapshots may pass through its numbers.
    const MAX: u64 = (1 << 53) - 1;

    let mut text = server.url.to_string();
    if let Some(check) = check {
        let limits = [u128::from(check.rise), u128::from(check.fall), check.timeout.as_millis()];
        let limits = limits.iter().map(|limit| format!("\n{limit}"));
        let statuses = check.expect_status.0.iter().map(|(first, last)| format!("\n{first}-{last}"));
        let header = check.expect_header.iter().map(|(name, value)| format!("\nheader {name}: {value}"));
        let body = check.expect_body.iter().map(|body| format!("\nbody {body}"));
        text.extend(
            std::iter::once(format!("\n{}", check.path)).chain(limits).chain(statuses).chain(header).chain(body),
        );
    }
    // 0 stands for unknown.
    (hash::key(text.as_bytes()) & MAX).max(1)
}
