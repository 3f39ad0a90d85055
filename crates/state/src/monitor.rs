//! The monitor: the process that probes for all others.

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Event, Pool, Service, Services, Snapshot, Timestamp};

use crate::control::{Control, ControlOutcome, ControlRequest, ControlResponse, ListedService};
use crate::{
    HistoryEntry, Inbox, KvBudget, NameMap, Notifications, NotifyTarget, ReadBudget, RunBudget, ServiceReading,
    SharedState, reported,
};

/// What a monitor stores, so that it survives a restart. As JSON, it is also a [`SharedState`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MonitorRecord {
    written_at: u64,
    services: NameMap<Snapshot>,
    /// What operators changed, and what happened.
    pub control: Control,
    /// The outages that were announced, and the notices that are pending.
    pub notifications: Notifications,
    /// The messages of other machines.
    pub inbox: Inbox,
    /// The writes to Workers KV.
    pub kv_budget: KvBudget,
    /// The readers of this day.
    pub reads: ReadBudget,
    /// The runs of this day.
    pub runs: RunBudget,
}

impl MonitorRecord {
    /// Returns the facts about all servers.
    pub fn state(&self) -> SharedState {
        let facts =
            SharedState { written_at: self.written_at, services: self.services.clone(), ..SharedState::default() };
        facts.with_overrides(self.control.overrides.clone())
    }

    /// Replaces the facts.
    pub fn set_state(&mut self, state: SharedState) {
        (self.written_at, self.services) = (state.written_at, state.services);
    }

    /// Records the changes of a pool, and announces them.
    pub fn observe(&mut self, targets: &[NotifyTarget], pool: &Pool, events: &[Event], now: Timestamp) {
        for event in events {
            let entry = HistoryEntry::transition(*event, pool.service());
            self.control.history.push(entry, now.as_millis());
        }
        self.notifications.observe(targets, &ServiceReading::of(pool, events, now), now.as_millis());
    }

    /// Merges what another process reports into these pools, and records the transitions that it
    /// caused. Returns whether there are any. They are announced by the next
    /// [`observe`](Self::observe).
    pub fn merge_report(&mut self, report: &SharedState, services: &Services, now: Timestamp) -> bool {
        let transitions = reported::merge(report, services, now);
        let is_changed = !transitions.is_empty();
        transitions.into_iter().for_each(|entry| self.control.history.push(entry, now.as_millis()));
        is_changed
    }

    /// Responds to a request of the control API with a valid token: see [`Control::respond`]. A
    /// command is written to Workers KV if `is_in_kv`, and refused if its budget has no write for
    /// it.
    pub fn respond(
        &mut self,
        request: ControlRequest<'_>,
        services: &[ListedService<'_>],
        is_in_kv: bool,
        now: Timestamp,
    ) -> ControlOutcome {
        let mut control = self.control.clone();
        let handled = control.respond(request, services, now.as_millis());
        if is_in_kv
            && !handled.changed.is_empty()
            && let Err(wait_ms) = self.kv_budget.record_command(now.as_millis())
        {
            return ControlOutcome { response: ControlResponse::daily_limit(wait_ms), changed: Vec::new() };
        }
        self.control = control;
        handled
    }

    /// Forgets the outages and notices of services and targets that the configuration no longer
    /// has.
    pub fn retain(&mut self, targets: &[NotifyTarget], services: &[Service]) {
        let names: Vec<String> = services.iter().map(Service::name).collect();
        self.notifications.retain(targets, |name| names.iter().any(|known| known == name));
    }

    /// Takes over what operators changed in a later copy of the record, and how often it was
    /// written.
    pub fn take_over(&mut self, later: &Self, targets: &[NotifyTarget], now: Timestamp) {
        let before = self.control.overrides.clone();
        self.control.merge(&later.control, now.as_millis());
        for change in self.control.overrides.iter().filter(|it| !before.iter().any(|known| known == *it)) {
            self.notifications.push(targets, change.notice(false), now.as_millis());
        }
        self.kv_budget = later.kv_budget;
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_core::{ProbeResponse, Server};

    use super::*;
    use crate::control::{CONTROL_PATH, Command, Override};

    fn services(count: usize) -> Services {
        let service = |n: usize| {
            let servers = ["a", "b", "c"].map(|name| Server::new(format!("{name}-{n}.example").parse().unwrap()));
            Service::new(format!("{n}.test"), servers.to_vec()).unwrap()
        };
        Services::new((0..count).map(service), 1)
    }

    #[test]
    fn a_record_is_also_a_document() {
        let services = services(1);
        let passed = Ok(ProbeResponse::new(http::StatusCode::OK));
        let now = Timestamp::from_millis(1_700_000_000_000);
        for pool in services.pools() {
            let lease = pool.update(|state| state.next_probe(now)).unwrap();
            pool.update(|state| state.on_probe(lease, &passed, now));
        }
        let mut record = MonitorRecord::default();
        record.set_state(SharedState::export(&services, "monitor", now));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<SharedState>(&text).unwrap(), record.state());
        assert_eq!(record.state().services.len(), 1);
        assert_eq!(serde_json::from_str::<MonitorRecord>(&text).unwrap(), record);
    }

    #[test]
    fn commands_in_workers_kv_are_refused_near_its_limit() {
        let service = Service::new("app.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let listed = [ListedService { service: &service, status: Vec::new() }];
        let mut record = MonitorRecord::default();
        let mut send = |body: String, is_in_kv| {
            let content_type = Some("application/json");
            let request = ControlRequest { method: "POST", path: CONTROL_PATH, content_type, ..Default::default() };
            let request = ControlRequest { body: body.as_bytes(), ..request };
            // A day begins at this time.
            record.respond(request, &listed, is_in_kv, Timestamp::from_millis(1_700_006_400_000))
        };
        let weight = |weight| format!(r#"{{"action":"weight","service":"app.test","server":"a","weight":{weight}}}"#);
        let accepted = (0..).take_while(|n| send(weight(n % 50 + 2), true).response.status == 200).count();
        assert_eq!(accepted, 260, "the others are for the states of servers");
        let refused = send(weight(1), true);
        assert_eq!((refused.response.status, refused.changed.len()), (429, 0));
        assert_eq!(refused.response.retry_after, Some(86_400));
        assert!(refused.response.body.contains(r#""error":"daily_limit""#), "{}", refused.response.body);
        assert_eq!(send("{".to_owned(), true).response.status, 400, "it writes nothing");
        assert_eq!(send(weight(1), false).response.status, 200, "the Durable Object has another limit");
        assert_eq!(record.control.history.len(), 261);
    }

    #[test]
    fn changes_of_operators_in_a_later_copy_are_taken_over() {
        let service = Service::new("app.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let command = r#"{"action":"weight","service":"app.test","server":"a","weight":5,"comment":"new disk"}"#;
        let command = Command::parse(command.as_bytes()).unwrap();
        let mut later = MonitorRecord::default();
        later.kv_budget.record(1_000);
        later.control.run(&command, [&service], 1_000).unwrap();
        let mut record = MonitorRecord::default();
        record.take_over(&later, &[], Timestamp::from_millis(2_000));
        assert_eq!((&record.control, record.kv_budget), (&later.control, later.kv_budget));
        let change = record.control.overrides.iter().next().unwrap();
        assert_eq!(change.notice(false).detail.unwrap(), "weight 5 by api: new disk");
        let ended = Override { until: Some(61_000), ..change.clone() };
        assert_eq!(ended.notice(false).detail.unwrap(), "weight 5 for 1m by api: new disk");
        assert_eq!(ended.notice(true).detail.unwrap(), "weight 5 ended by api: new disk");
        assert_eq!(ended.notice(true).at, 61_000);
    }
}
