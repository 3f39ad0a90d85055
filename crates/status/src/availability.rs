//! The past states of services, from the history: uptime per day and incidents.
//!
//! A server counts as unavailable from an entry that it is unhealthy or ejected until the entry
//! that ends this. Short stalls do not count. The servers and their number are those of today.

use tunnel_balancer_core::{LogEvent, ServiceState};
use tunnel_balancer_state::{History, HistoryEntry, NameMap};

/// The milliseconds of a day.
const DAY: u64 = 24 * 3_600_000;

/// The entries of all services, sorted once.
#[derive(Debug, Default)]
pub(crate) struct Past<'h> {
    /// The entries of each service, oldest first.
    entries: NameMap<Vec<&'h HistoryEntry>>,
    /// When the history began. `None`: there is none.
    since: Option<u64>,
}

/// What is known of the present of a service.
#[derive(Clone, Debug)]
pub(crate) struct Present<'a> {
    pub(crate) service: String,
    /// The enabled servers, and whether each one is available.
    pub(crate) servers: Vec<(&'a str, bool)>,
    /// When its maintenance began, if it is under maintenance. The configuration can begin one
    /// without an entry.
    pub(crate) maintenance_since: Option<u64>,
    /// When the process started. A server may have returned before it without an entry.
    pub(crate) started: u64,
    pub(crate) now: u64,
}

/// The states of one service since the history began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    since: Option<u64>,
    now: u64,
    /// The times in which it was not up, oldest first.
    incidents: Vec<Incident>,
}

/// A time in which a service was not up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    pub(crate) state: ServiceState,
    pub(crate) from: u64,
    /// `None`: it lasts.
    pub(crate) until: Option<u64>,
}

/// The share of a day in which a service was not down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    /// The start of the day in UTC, in milliseconds since 1970.
    pub(crate) start: u64,
    /// In parts of [`ALL_DAY`](Self::ALL_DAY). `None`: the history does not reach it.
    pub(crate) up: Option<u64>,
}

impl Day {
    /// A day without downtime. Floating point numbers would make the Worker 5 KB larger.
    pub(crate) const ALL_DAY: u64 = 100_000;
}

impl<'h> Past<'h> {
    pub(crate) fn new(history: Option<&'h History>, since: Option<u64>) -> Self {
        let mut entries: NameMap<Vec<&HistoryEntry>> = NameMap::default();
        for entry in history.into_iter().flat_map(History::iter) {
            match entries.get_mut(&entry.service) {
                Some(entries) => entries.push(entry),
                None => entries.insert(entry.service.clone(), vec![entry]),
            }
        }
        Self { entries, since }
    }

    /// Returns the states of a service.
    pub(crate) fn timeline(&self, present: &Present<'_>) -> Timeline {
        let mut timeline = Timeline { since: self.since, now: present.now, incidents: Vec::new() };
        if self.since.is_none() {
            return timeline;
        }
        let (mut states, mut maintenance) = (States::new(present), present.maintenance_since);
        for entry in self.entries.get(&present.service).into_iter().flatten() {
            if let Some(since) = maintenance.take_if(|since| *since <= entry.at) {
                states.maintenance = true;
                timeline.record(ServiceState::Maintenance, since);
            }
            states.read(entry);
            timeline.record(states.state(), entry.at);
        }
        if let Some(since) = maintenance {
            timeline.record(ServiceState::Maintenance, since);
        }
        states.set_present(present);
        let last = self.entries.get(&present.service).and_then(|entries| entries.last()).map_or(0, |entry| entry.at);
        timeline.record(states.state(), present.started.max(last).min(present.now));
        timeline
    }
}

/// The states of the servers at one point of the history.
struct States<'a> {
    servers: Vec<Server<'a>>,
    maintenance: bool,
}

struct Server<'a> {
    name: &'a str,
    unhealthy: bool,
    ejected: bool,
}

impl<'a> States<'a> {
    fn new(present: &Present<'a>) -> Self {
        let new = |(name, _): &(&'a str, bool)| Server { name, unhealthy: false, ejected: false };
        Self { servers: present.servers.iter().map(new).collect(), maintenance: false }
    }

    fn read(&mut self, entry: &HistoryEntry) {
        const UNHEALTHY: &str = LogEvent::ServerUnhealthy.as_str();
        const HEALTHY: &str = LogEvent::ServerHealthy.as_str();
        const EJECTED: &str = LogEvent::ServerEjected.as_str();
        const RESTORED: &str = LogEvent::ServerRestored.as_str();

        let server = self.servers.iter_mut().find(|server| Some(server.name) == entry.server.as_deref());
        match (entry.event.as_str(), server) {
            (UNHEALTHY, Some(server)) => server.unhealthy = true,
            (HEALTHY, Some(server)) => server.unhealthy = false,
            (EJECTED, Some(server)) => server.ejected = true,
            (RESTORED, Some(server)) => server.ejected = false,
            _ => self.maintenance = entry.maintenance().unwrap_or(self.maintenance),
        }
    }

    fn set_present(&mut self, present: &Present<'_>) {
        for (server, (_, available)) in self.servers.iter_mut().zip(&present.servers) {
            (server.unhealthy, server.ejected) = (!available, false);
        }
        self.maintenance = present.maintenance_since.is_some();
    }

    fn state(&self) -> ServiceState {
        let available = self.servers.iter().filter(|server| !server.unhealthy && !server.ejected).count();
        match available {
            _ if self.maintenance => ServiceState::Maintenance,
            0 => ServiceState::Down,
            some if some < self.servers.len() => ServiceState::Degraded,
            _ => ServiceState::Up,
        }
    }
}

impl Timeline {
    /// The days of the report.
    const DAYS: u64 = 30;
    /// The most incidents that are shown, the newest ones.
    const MAX_INCIDENTS: usize = 100;

    /// Records the state from a time on.
    fn record(&mut self, state: ServiceState, at: u64) {
        if let Some(last) = self.incidents.last_mut().filter(|last| last.until.is_none()) {
            if last.state == state {
                return;
            }
            last.until = Some(at);
            if last.from == at {
                self.incidents.pop();
            }
        }
        if state != ServiceState::Up {
            self.incidents.push(Incident { state, from: at, until: None });
        }
    }

    /// Returns the incidents, newest first.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = Incident> {
        self.incidents.iter().rev().take(Self::MAX_INCIDENTS).copied()
    }

    /// Returns when the present state began, if the history has it.
    pub(crate) fn state_since(&self, state: ServiceState) -> Option<u64> {
        let last = self.incidents.last()?;
        match last.until {
            Some(until) => (state == ServiceState::Up).then_some(until),
            None => (state == last.state).then_some(last.from),
        }
    }

    /// Returns the uptime of 30 days, oldest first.
    pub(crate) fn days(&self) -> impl Iterator<Item = Day> {
        let today = self.now / DAY;
        let days = today.saturating_sub(Self::DAYS - 1)..=today;
        days.map(|day| Day { start: day * DAY, up: self.uptime(day * DAY, (day + 1) * DAY) })
    }

    /// Returns the share of a time in which the service was not down. Maintenance does not count as
    /// down.
    fn uptime(&self, start: u64, end: u64) -> Option<u64> {
        let (start, end) = (start.max(self.since?), end.min(self.now));
        let known = end.checked_sub(start).filter(|known| *known > 0)?;
        let down = self.incidents.iter().filter(|incident| incident.state == ServiceState::Down);
        let within = |incident: &Incident| {
            let until = incident.until.unwrap_or(self.now).min(end);
            until.saturating_sub(incident.from.max(start))
        };
        let down: u64 = down.map(within).sum();
        Some(known.saturating_sub(down) * Day::ALL_DAY / known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 20_000 * DAY + DAY / 2;
    const HOUR: u64 = 3_600_000;

    fn entry(at: u64, event: &str, server: Option<&str>, detail: Option<&str>) -> HistoryEntry {
        let json = serde_json::json!({ "at": at, "event": event, "service": "app.test", "server": server,
            "detail": detail });
        serde_json::from_value(json).unwrap()
    }

    fn present(available: [bool; 2]) -> Present<'static> {
        let servers = vec![("a", available[0]), ("b", available[1])];
        Present { service: "app.test".to_owned(), servers, maintenance_since: None, started: NOW - 10 * DAY, now: NOW }
    }

    fn timeline(entries: &[(u64, &str, Option<&str>, Option<&str>)], present: &Present<'_>) -> Timeline {
        let mut history = History::default();
        entries.iter().for_each(|(at, event, server, detail)| history.push(entry(*at, event, *server, *detail), NOW));
        Past::new(Some(&history), Some(NOW - 2 * DAY)).timeline(present)
    }

    fn incident(state: ServiceState, from: u64, until: Option<u64>) -> Incident {
        Incident { state, from, until }
    }

    #[test]
    fn a_service_is_down_while_no_server_is_available() {
        let (one, two) = (NOW - 6 * HOUR, NOW - 5 * HOUR);
        let timeline = timeline(
            &[
                (one, "server_unhealthy", Some("a"), None),
                (two, "server_ejected", Some("b"), None),
                (two + HOUR, "server_restored", Some("b"), None),
                (two + 2 * HOUR, "server_healthy", Some("a"), None),
            ],
            &present([true, true]),
        );
        let expected = [
            incident(ServiceState::Degraded, two + HOUR, Some(two + 2 * HOUR)),
            incident(ServiceState::Down, two, Some(two + HOUR)),
            incident(ServiceState::Degraded, one, Some(two)),
        ];
        assert_eq!(timeline.incidents().collect::<Vec<_>>(), expected);
        assert_eq!(timeline.state_since(ServiceState::Up), Some(two + 2 * HOUR));
        let days: Vec<Day> = timeline.days().collect();
        assert_eq!((days.len(), days[29].start), (30, 20_000 * DAY));
        assert_eq!(days[29].up, Some(91_666), "an hour of twelve");
        assert_eq!(days[28].up, Some(Day::ALL_DAY));
        // The history began two days ago, at noon.
        assert_eq!((days[27].up, days[26].up), (Some(Day::ALL_DAY), None));
    }

    #[test]
    fn the_present_ends_what_has_no_entry() {
        let entries =
            [(NOW - DAY, "server_unhealthy", Some("a"), None), (NOW - DAY, "server_ejected", Some("b"), None)];
        let mut present = present([true, true]);
        present.started = NOW - HOUR;
        let back = timeline(&entries, &present);
        assert_eq!(back.incidents().next(), Some(incident(ServiceState::Down, NOW - DAY, Some(NOW - HOUR))));
        present.servers = vec![("a", false), ("b", false)];
        let down = timeline(&entries, &present);
        assert_eq!(down.incidents().collect::<Vec<_>>(), [incident(ServiceState::Down, NOW - DAY, None)]);
        assert_eq!(down.days().last().unwrap().up, Some(0));
    }

    #[test]
    fn maintenance_is_no_downtime() {
        let on = NOW - 4 * HOUR;
        let entries = [
            (on, "control_changed", None, Some("maintenance on")),
            (on + HOUR, "server_unhealthy", Some("a"), None),
            (on + HOUR, "server_unhealthy", Some("b"), None),
            (on + 2 * HOUR, "server_healthy", Some("a"), None),
            (on + 2 * HOUR, "server_healthy", Some("b"), None),
            (on + 3 * HOUR, "control_expired", None, Some("maintenance on")),
        ];
        let timeline = timeline(&entries, &present([true, true]));
        let expected = [incident(ServiceState::Maintenance, on, Some(on + 3 * HOUR))];
        assert_eq!(timeline.incidents().collect::<Vec<_>>(), expected);
        assert_eq!(timeline.days().last().unwrap().up, Some(Day::ALL_DAY));
    }

    #[test]
    fn maintenance_of_the_configuration_is_no_downtime() {
        let since = NOW - 4 * HOUR;
        let entries = [
            (since - HOUR, "server_unhealthy", Some("a"), None),
            (since + HOUR, "server_unhealthy", Some("b"), None),
            (since + 2 * HOUR, "server_healthy", Some("a"), None),
        ];
        let mut present = present([true, false]);
        present.maintenance_since = Some(since);
        let expected = [
            incident(ServiceState::Maintenance, since, None),
            incident(ServiceState::Degraded, since - HOUR, Some(since)),
        ];
        for entries in [&entries[..], &entries[..1]] {
            let timeline = timeline(entries, &present);
            assert_eq!(timeline.incidents().collect::<Vec<_>>(), expected);
            assert_eq!(timeline.days().last().unwrap().up, Some(Day::ALL_DAY));
        }
    }

    #[test]
    fn entries_of_other_servers_and_services_change_nothing() {
        let entries = [(NOW - DAY, "server_unhealthy", Some("removed"), None)];
        assert_eq!(timeline(&entries, &present([true, true])).incidents().count(), 0);
        let none = Past::new(None, None).timeline(&present([false, false]));
        assert!(none.incidents().next().is_none() && none.days().all(|day| day.up.is_none()));
    }
}
