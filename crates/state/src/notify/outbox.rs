//! Notices that are not delivered yet, and their retries.
//!
//! Each target has a queue, of which only the first notice is sent: a retry must not be overtaken
//! by a later notice, or the last one that arrives would be wrong. While a target fails, a notice
//! replaces an earlier one with the same subject. So a queue stays as short as the number of
//! servers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::hash;

use super::Notifications;
use super::notice::Notice;
use super::render::{self, Delivery};
use super::result::{DeliveryError, DeliveryOutcome};
use super::target::{NotifyTarget, TargetKind};
use crate::NameMap;

/// The wait after the first failure, in milliseconds. It doubles with each further one.
const BACKOFF: u64 = 5_000;

/// The longest wait after a failure.
const MAX_BACKOFF: u64 = 15 * 60_000;

/// The longest wait that a response can request.
const MAX_RETRY_AFTER: u64 = 3_600_000;

/// The age at which a notice is not sent again.
const MAX_AGE: u64 = 24 * 3_600_000;

/// The time between two deliveries to a target. Slack allows one message a second.
const PACE: u64 = 1_000;

/// The largest number of pending notices of a target.
const CAPACITY: usize = 100;

/// The number of ids of delivered notices that are kept.
const DELIVERED: usize = 32;

/// The queues of all targets, by [`NotifyTarget::key`] in decimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Outbox {
    queues: NameMap<Queue>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// The ids of the last notices that were delivered.
    delivered: VecDeque<u64>,
    /// Failures in a row.
    failures: u32,
    /// Nothing is sent before.
    next_at: u64,
    /// Until when the result of the first entry, or of the heartbeat, is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight_until: Option<u64>,
    /// The interval of a heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    id: u64,
    notice: Notice,
}

impl Outbox {
    /// Queues a notice, unless it is pending or was delivered lately.
    pub(super) fn push(&mut self, target: &NotifyTarget, notice: Notice, now: u64) {
        let key = target.key();
        let queue = self.queues.get_or_default(&key.to_string());
        let entry = Entry { id: notice_id(key, &notice), notice };
        let is_known = queue.delivered.contains(&entry.id) || queue.entries.iter().any(|other| other.id == entry.id);
        if !is_known {
            queue.push(entry, now);
        }
    }

    /// Returns what is due, at most `limit` deliveries. Heartbeats are sent only while `is_alive`.
    pub(super) fn due(&mut self, limit: usize, targets: &[NotifyTarget], is_alive: bool, now: u64) -> Vec<Delivery> {
        // The targets that wait the longest first. A sort would add several kilobytes to a Worker.
        let mut waiting = Vec::<(Option<u64>, &NotifyTarget)>::new();
        for target in targets {
            let since = self.queues.get(&target.key().to_string()).map(|queue| queue.next_at);
            waiting.insert(waiting.partition_point(|(other, _)| *other <= since), (since, target));
        }
        let mut due = Vec::new();
        for (_, target) in waiting {
            if due.len() >= limit {
                break;
            }
            let key = target.key();
            if target.kind == TargetKind::Heartbeat {
                let queue = self.queues.get_or_default(&key.to_string());
                queue.interval = Some(interval(target));
                if is_alive && queue.take_turn(now) {
                    due.push(render::heartbeat(target, &delivery_id(key, 0)));
                }
                continue;
            }
            let Some(queue) = self.queues.get_mut(&key.to_string()) else { continue };
            queue.entries.retain(|entry| now.saturating_sub(entry.notice.at) < MAX_AGE);
            if let Some(entry) = queue.entries.front().map(|entry| (entry.id, entry.notice.clone()))
                && queue.take_turn(now)
            {
                due.push(render::notice(target, &entry.1, &delivery_id(key, entry.0)));
            }
        }
        due
    }

    /// Returns when something is due.
    pub(super) fn next_due(&self, targets: &[NotifyTarget], is_alive: bool) -> Option<u64> {
        let next = targets.iter().filter_map(|target| {
            let queue = self.queues.get(&target.key().to_string());
            let is_pending = match target.kind {
                TargetKind::Heartbeat => is_alive,
                _ => queue.is_some_and(|queue| !queue.entries.is_empty()),
            };
            is_pending.then(|| queue.map_or(0, |queue| queue.in_flight_until.unwrap_or(queue.next_at)))
        });
        next.min()
    }

    pub(super) fn on_result(
        &mut self,
        id: &str,
        result: Result<(), DeliveryError>,
        now: u64,
    ) -> Option<DeliveryOutcome> {
        let (key, entry) = id.split_once('-')?;
        let queue = self.queues.get_mut(&u64::from_str_radix(key, 16).ok()?.to_string())?;
        let entry = u64::from_str_radix(entry, 16).ok()?;
        queue.in_flight_until?;
        if queue.interval.is_none() && queue.entries.front().is_none_or(|first| first.id != entry) {
            return None;
        }
        queue.in_flight_until = None;
        Some(queue.settle(result, now))
    }

    pub(super) fn without_heartbeats(&self) -> Self {
        let queues = self.queues.iter().filter(|(_, queue)| queue.interval.is_none());
        Self { queues: queues.map(|(key, queue)| (key.to_owned(), queue.clone())).collect() }
    }

    /// Drops the queues of other targets. Returns the number of dropped notices.
    pub(super) fn retain(&mut self, targets: &[NotifyTarget]) -> usize {
        let keys: Vec<String> = targets.iter().map(|target| target.key().to_string()).collect();
        let count = |queues: &NameMap<Queue>| queues.values().map(|queue| queue.entries.len()).sum::<usize>();
        let before = count(&self.queues);
        self.queues.retain(|key, _| keys.iter().any(|kept| kept == key));
        before - count(&self.queues)
    }
}

impl Queue {
    fn push(&mut self, entry: Entry, now: u64) {
        let mut entry = entry;
        if self.failures > 0 {
            let subject = entry.notice.subject();
            let first = usize::from(self.in_flight_until.is_some_and(|until| until > now));
            let same = |other: &Entry| other.notice.subject() == subject;
            if let Some(at) = self.entries.iter().skip(first).position(same)
                && let Some(earlier) = self.entries.remove(first + at)
            {
                entry.notice = entry.notice.replacing(&earlier.notice);
            }
        }
        if self.entries.len() >= CAPACITY {
            // The oldest one that cannot be in flight.
            self.entries.remove(1);
        }
        self.entries.push_back(entry);
    }

    /// Returns whether a delivery may start now, and starts it.
    fn take_turn(&mut self, now: u64) -> bool {
        // Far in the future: the clock was set back.
        let reached = |at: u64| at <= now || at - now > MAX_RETRY_AFTER.max(self.interval.unwrap_or_default()) + PACE;
        if !reached(self.in_flight_until.unwrap_or_default()) || !reached(self.next_at) {
            return false;
        }
        self.in_flight_until = Some(now.saturating_add(Notifications::LEASE));
        true
    }

    fn settle(&mut self, result: Result<(), DeliveryError>, now: u64) -> DeliveryOutcome {
        let error = match result {
            Ok(()) => {
                self.failures = 0;
                self.next_at = now.saturating_add(self.interval.unwrap_or(PACE));
                if let Some(entry) = self.entries.pop_front() {
                    self.delivered.push_back(entry.id);
                    self.delivered.drain(..self.delivered.len().saturating_sub(DELIVERED));
                }
                return DeliveryOutcome::Delivered;
            }
            Err(error) => error,
        };
        self.failures = self.failures.saturating_add(1);
        let backoff = BACKOFF.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(MAX_BACKOFF);
        let wait = backoff.max(error.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        let age = |entry: &Entry| now.saturating_add(wait).saturating_sub(entry.notice.at);
        let is_old = self.entries.front().is_some_and(|entry| age(entry) >= MAX_AGE);
        if self.interval.is_none() && (error.is_final() || is_old) {
            self.entries.pop_front();
            self.next_at = now.saturating_add(BACKOFF);
            return DeliveryOutcome::Dropped;
        }
        // A late heartbeat is as bad as none.
        let wait = self.interval.map_or(wait, |interval| wait.min(interval));
        self.next_at = now.saturating_add(wait);
        DeliveryOutcome::Retried { failures: self.failures, wait }
    }
}

fn interval(target: &NotifyTarget) -> u64 {
    u64::try_from(target.interval.as_millis()).unwrap_or(u64::MAX)
}

fn notice_id(key: u64, notice: &Notice) -> u64 {
    let server = notice.server.as_deref().unwrap_or_default();
    let Notice { service, kind, at, sequence, .. } = notice;
    hash::key(format!("{key}\n{service}\n{server}\n{}\n{at}\n{sequence}", kind.as_str()).as_bytes())
}

/// Returns the id of a delivery. Letters, digits and `-` are allowed everywhere.
fn delivery_id(key: u64, entry: u64) -> String {
    format!("{key:016x}-{entry:016x}")
}
