//! The outages that are known, and the changes between two readings.

use serde::{Deserialize, Serialize};

use super::notice::{Notice, NoticeKind};
use super::reading::{ServerCondition, ServerReading, ServiceReading};
use crate::NameMap;

/// The outages of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outages {
    services: NameMap<ServiceOutages>,
    /// The number of changes so far.
    sequence: u64,
}

/// The outages of one service: since when, in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ServiceOutages {
    /// No server is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    down_since: Option<u64>,
    /// The unavailable servers.
    #[serde(skip_serializing_if = "NameMap::is_empty")]
    servers: NameMap<u64>,
}

impl Outages {
    /// Records a reading. Returns the changes, servers first.
    ///
    /// A server without a result keeps the condition that is known. A server that was removed or
    /// disabled has no outage.
    pub(super) fn observe(&mut self, reading: &ServiceReading, now: u64) -> Vec<Notice> {
        let known = self.services.get_or_default(&reading.service);
        known.servers.retain(|name, _| reading.servers.iter().any(|server| server.name == name));
        let mut notices = Vec::new();
        let mut cause = None;
        for server in &reading.servers {
            let since = known.servers.get(&server.name).copied();
            let at = server.since.unwrap_or(now).min(now);
            let notice = match (server.condition, since) {
                (ServerCondition::Down, None) => {
                    known.servers.insert(server.name.clone(), at);
                    reading.notice(NoticeKind::ServerDown, Some(server), at)
                }
                (ServerCondition::Up, Some(since)) => {
                    known.servers.remove(&server.name);
                    let notice = reading.notice(NoticeKind::ServerUp, Some(server), at);
                    Notice { outage_ms: Some(at.saturating_sub(since)), ..notice }
                }
                _ => continue,
            };
            cause = Some((server, at));
            notices.push(notice);
        }
        let is = |condition| move |server: &ServerReading| server.condition == condition;
        let is_down = reading.candidates().count() > 0 && reading.candidates().all(is(ServerCondition::Down));
        let is_up = reading.candidates().any(is(ServerCondition::Up));
        let (server, at) = cause.map_or((None, now), |(server, at)| (Some(server), at));
        match known.down_since {
            // An outage that maintenance covers starts when maintenance ends.
            None if is_down && !reading.maintenance => {
                known.down_since = Some(at);
                notices.push(reading.notice(NoticeKind::ServiceDown, server, at));
            }
            Some(since) if is_up => {
                known.down_since = None;
                let notice = reading.notice(NoticeKind::ServiceUp, server, at);
                notices.push(Notice { outage_ms: Some(at.saturating_sub(since)), ..notice });
            }
            _ => {}
        }
        if *known == ServiceOutages::default() {
            self.services.remove(&reading.service);
        }
        for notice in &mut notices {
            self.sequence = self.sequence.wrapping_add(1).max(1);
            notice.sequence = self.sequence;
        }
        notices
    }

    /// Returns whether a service has no available server.
    pub(super) fn is_any_service_down(&self) -> bool {
        self.services.values().any(|service| service.down_since.is_some())
    }

    /// Forgets services that no longer exist.
    pub(super) fn retain(&mut self, is_service: impl Fn(&str) -> bool) {
        self.services.retain(|name, _| is_service(name));
    }
}

impl ServiceReading {
    fn notice(&self, kind: NoticeKind, server: Option<&ServerReading>, at: u64) -> Notice {
        let (reason, detail) = server.and_then(|server| server.reason.clone()).unzip();
        Notice {
            server: server.map(|server| server.name.clone()),
            host: server.map(|server| server.host.clone()),
            reason,
            detail: detail.flatten(),
            serving: self.serving.clone(),
            available: self.available(),
            ..Notice::new(kind, self.service.clone(), at)
        }
    }
}
