//! What is known of the servers, in a form that others can take over: isolates share no memory, but they can share this.
//!
//! A snapshot is a list of facts, one for each server of which anything is known. Whoever merges it takes what is newer than
//! what it knows itself, and leaves the rest. So facts may arrive late, twice and in any order.
//!
//! What probes say and what traffic says have each a time of their own. A probe can be blind to what fails, and every isolate
//! probes: if its result were news of the traffic as well, no ejection would last until the next probe somewhere.

use crate::pool::PoolState;
use crate::pool::health::Health;
use crate::server_set::ServerId;
use crate::time::Timestamp;

/// What somebody knew of a service's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// One for each server of which anything is known.
    pub facts: Vec<ServerSnapshot>,
}

/// What somebody knew of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// The server's name.
    pub server: String,
    /// Who found it out: an isolate, a host.
    pub by: String,
    /// When it was probed, in milliseconds on the hosts' common clock; 0: never.
    pub seen: u64,
    /// What probes said.
    pub health: Health,
    /// When it was left out of traffic or let in again, on the same clock; 0: never.
    pub judged: u64,
    /// Until when it was left out of traffic, if it was.
    pub ejected_until: Option<u64>,
    /// How many ejections counted towards the length of the next.
    pub ejection_count: u32,
}

impl PoolState {
    /// What is known here, found out by `by`.
    pub fn export(&self, by: &str) -> Snapshot {
        let known = self
            .service
            .servers()
            .iter()
            .zip(&self.servers)
            .filter(|(_, state)| state.seen.max(state.judged) > Timestamp::ZERO);
        let facts = known.map(|(server, state)| ServerSnapshot {
            server: server.name.clone(),
            by: by.to_owned(),
            seen: state.seen.as_millis(),
            health: state.health.health(),
            judged: state.judged.as_millis(),
            ejected_until: state.ejection.until().map(Timestamp::as_millis),
            ejection_count: state.ejection.ejection_count(),
        });
        Snapshot { facts: facts.collect() }
    }

    /// Takes over what is newer than what is known here. Facts of unknown servers and from the future change nothing.
    ///
    /// No events: whoever found a fact out has told it.
    pub fn merge(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let now = self.advance(now);
        for fact in &snapshot.facts {
            let seen = Timestamp::from_millis(fact.seen);
            let index = self.service.servers().iter().position(|server| server.name == fact.server);
            let Some(id) = index.and_then(ServerId::new) else { continue };
            let Some(server) = self.servers.get_mut(id.index()) else { continue };
            let judged = Timestamp::from_millis(fact.judged);
            if judged > server.judged && judged <= now {
                server.judged = judged;
                let longest = now + self.service.ejection.max_time;
                let until = fact.ejected_until.map(|until| Timestamp::from_millis(until).min(longest));
                server.ejection.adopt(until, fact.ejection_count, judged);
                match until {
                    Some(_) => server.signals.on_failure(false, judged, judged),
                    None => server.signals.on_answer(judged, judged),
                }
            }
            if seen > server.seen && seen <= now {
                server.seen = seen;
                server.health.adopt(fact.health);
                if let Some(check) = &self.service.health_check {
                    let is_well = fact.health == Health::Healthy && !server.ejection.is_active();
                    let interval = if is_well { check.interval } else { check.unhealthy_interval };
                    server.probe.put_off(seen + interval);
                }
            }
            self.reindex(id, now);
        }
    }
}
