//! Notifications of outages, without I/O.
//!
//! ```text
//! pool ─> ServiceReading ─> Outages ─> Flaps ─> Outbox ─> Delivery ─> host
//!         what is known     changes    limits   retries   a request
//! ```
//!
//! [`Notifications`] is the whole of it, and a value that a host stores. Changes are found by
//! comparison of readings, not by events. So a change that several pools observe is one change, a
//! server that is unhealthy and ejected has one outage, and a host that starts again does not
//! repeat what it has announced.
//!
//! A delivery is repeated if the host ends between the request and
//! [`Notifications::on_result`]: at least once, never lost. Receivers recognize a repetition by
//! its id.

mod flaps;
mod notice;
mod outages;
mod outbox;
mod reading;
mod render;
mod result;
mod target;
mod text;

use serde::{Deserialize, Serialize};

use self::flaps::Flaps;
use self::outages::Outages;
use self::outbox::Outbox;
pub(crate) use self::text::format_duration;

pub use self::notice::{Notice, NoticeKind};
pub use self::reading::{ServerCondition, ServerReading, ServiceReading};
pub use self::render::Delivery;
pub use self::result::{DeliveryError, DeliveryOutcome};
pub use self::target::{NotifyTarget, TargetKind};

/// The state of all notifications: known outages, held changes, and what is not delivered yet. It
/// has no URLs and no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notifications {
    outages: Outages,
    flaps: Flaps,
    outbox: Outbox,
}

impl Notifications {
    /// Records what is known about a service, and announces what changed.
    pub fn observe(&mut self, targets: &[NotifyTarget], reading: &ServiceReading, now: u64) {
        let notices = self.outages.observe(reading, now);
        self.announce(targets, notices, now);
    }

    /// Announces a notice that is no outage, such as a change of an operator.
    pub fn push(&mut self, targets: &[NotifyTarget], notice: Notice, now: u64) {
        self.announce(targets, vec![notice], now);
    }

    /// Returns what is to be sent now. Each delivery is in flight until its result is reported, at
    /// most [`LEASE`](Self::LEASE).
    pub fn due(&mut self, targets: &[NotifyTarget], now: u64) -> Vec<Delivery> {
        self.due_at_most(usize::MAX, targets, now)
    }

    /// Returns at most `limit` deliveries like [`due`](Self::due), those that have waited longest.
    pub fn due_at_most(&mut self, limit: usize, targets: &[NotifyTarget], now: u64) -> Vec<Delivery> {
        for notice in self.flaps.due(now) {
            self.enqueue(targets, &[notice], now);
        }
        let is_alive = !self.outages.is_any_service_down();
        self.outbox.due(limit, targets, is_alive, now)
    }

    /// Records the result of a delivery. `None` if it is not in flight.
    pub fn on_result(&mut self, id: &str, result: Result<(), DeliveryError>, now: u64) -> Option<DeliveryOutcome> {
        self.outbox.on_result(id, result, now)
    }

    /// Returns when [`due`](Self::due) has the next delivery. `None` while nothing is pending.
    pub fn next_due(&self, targets: &[NotifyTarget]) -> Option<u64> {
        let is_alive = !self.outages.is_any_service_down();
        [self.flaps.next_due(), self.outbox.next_due(targets, is_alive)].into_iter().flatten().min()
    }

    /// Returns it without the times of heartbeats. They change each minute, and a host that starts
    /// again may send a heartbeat early.
    pub fn without_heartbeats(&self) -> Self {
        Self { outbox: self.outbox.without_heartbeats(), ..self.clone() }
    }

    /// Forgets targets and services that the configuration no longer has. Returns how many pending
    /// notices are dropped with their targets.
    pub fn retain(&mut self, targets: &[NotifyTarget], is_service: impl Fn(&str) -> bool) -> usize {
        self.outages.retain(is_service);
        self.outbox.retain(targets)
    }

    /// How long a delivery is in flight without a result, in milliseconds. Requests must end
    /// earlier.
    pub const LEASE: u64 = 60_000;

    fn announce(&mut self, targets: &[NotifyTarget], notices: Vec<Notice>, now: u64) {
        let admitted = |notice| self.flaps.admit(notice, now);
        let notices: Vec<Notice> = notices.into_iter().filter_map(admitted).collect();
        self.enqueue(targets, &notices, now);
    }

    /// Queues notices of one observation for the targets that want them. A change of a service
    /// names the server that caused it, so that the change of this server is left out.
    fn enqueue(&mut self, targets: &[NotifyTarget], notices: &[Notice], now: u64) {
        for target in targets {
            let wanted: Vec<&Notice> = notices.iter().filter(|notice| target.wants(notice)).collect();
            for notice in &wanted {
                if !wanted.iter().any(|other| other.implies(notice)) {
                    self.outbox.push(target, (*notice).clone(), now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
