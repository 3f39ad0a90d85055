//! Summaries of the probes of a minute or an hour, for the history of a day and of a month.

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Services, Timestamp};

use crate::NameMap;

/// The probes of all servers within a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Summary {
    /// By service and server, with a space between: the probes, and those of them that failed.
    probes: NameMap<(u64, u64)>,
}

/// Collects the probes of each minute from the counters of pools.
#[derive(Clone, Debug, Default)]
pub struct SummaryCollector {
    /// The counters when they were read last.
    last: Summary,
    minute: u64,
    collected: Summary,
}

impl Summary {
    /// How long the summary of a minute is kept, in milliseconds.
    pub const MINUTES_MS: u64 = 24 * Self::HOUR_MS;

    /// How long the summary of an hour is kept, in milliseconds.
    pub const HOURS_MS: u64 = 30 * 24 * Self::HOUR_MS;

    /// An hour in milliseconds.
    pub const HOUR_MS: u64 = 60 * Self::MINUTE_MS;

    const MINUTE_MS: u64 = 60_000;

    /// Adds the probes of another period.
    pub fn add(&mut self, other: &Self) {
        for (server, (probes, failed)) in other.probes.iter() {
            let sum = self.probes.get_or_default(server);
            *sum = (sum.0.saturating_add(*probes), sum.1.saturating_add(*failed));
        }
    }

    /// Returns whether no server was probed.
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// Reads the counters of pools.
    fn read(services: &Services, now: Timestamp) -> Self {
        let mut probes = NameMap::default();
        for pool in services.pools() {
            let service = pool.service().name();
            for server in pool.update(|state| state.status(now).servers) {
                let counters = server.counters;
                probes.insert(format!("{service} {}", server.name), (counters.probes, counters.failed_probes));
            }
        }
        Self { probes }
    }

    /// Returns the probes since `earlier`. A counter that is smaller began again.
    fn since(&self, earlier: &Self) -> Self {
        let difference = self.probes.iter().filter_map(|(server, now)| {
            let before = earlier.probes.get(server).filter(|before| before.0 <= now.0).copied().unwrap_or_default();
            let probes = now.0 - before.0;
            (probes > 0).then(|| (server.to_owned(), (probes, now.1.saturating_sub(before.1))))
        });
        Self { probes: difference.collect() }
    }
}

impl SummaryCollector {
    /// Reads the counters of pools. Returns the summary of the last minute and its start, in
    /// milliseconds since 1970, if another one has begun.
    pub fn observe(&mut self, services: &Services, now: Timestamp) -> Option<(u64, Summary)> {
        let (minute, counters) = (now.as_millis() / Summary::MINUTE_MS, Summary::read(services, now));
        let ended =
            (self.minute != minute).then(|| (self.minute * Summary::MINUTE_MS, std::mem::take(&mut self.collected)));
        self.minute = minute;
        self.collected.add(&counters.since(&self.last));
        self.last = counters;
        ended.filter(|(_, summary)| !summary.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tunnel_balancer_core::{Failure, ProbeResponse, Server, Service};

    use super::*;

    #[test]
    fn the_probes_of_a_minute_are_counted_once() {
        let service = Service::new("app.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let services = Services::new([service], 1);
        let start = Timestamp::from_millis(1_700_000_040_000);
        let (mut collector, mut summaries) = (SummaryCollector::default(), Vec::new());
        for second in 0..180 {
            let now = start + Duration::from_secs(second);
            for pool in services.pools() {
                let result =
                    if second < 60 { Ok(ProbeResponse::new(http::StatusCode::OK)) } else { Err(Failure::Connect) };
                while let Some(lease) = pool.update(|state| state.next_probe(now)) {
                    pool.update(|state| state.on_probe(lease, &result, now));
                }
            }
            summaries.extend(collector.observe(&services, now));
        }
        let [(first, passed), (second, failed)] = &summaries[..] else { panic!("{summaries:?}") };
        assert_eq!((*first, *second), (start.as_millis(), start.as_millis() + 60_000));
        let of = |summary: &Summary| *summary.probes.get("app.test a").unwrap();
        assert!((2..=3).contains(&of(passed).0) && of(passed).1 == 0, "{passed:?}");
        assert!(of(failed).0 >= 5 && of(failed).0 == of(failed).1, "{failed:?}");
        let mut both = passed.clone();
        both.add(failed);
        assert_eq!(of(&both), (of(passed).0 + of(failed).0, of(failed).1));
        let again = Services::new(services.pools().map(|pool| pool.service().clone()), 1);
        assert_eq!(
            collector.observe(&again, start + Duration::from_secs(300)).map(|(at, _)| at),
            Some(start.as_millis() + 120_000)
        );
        assert!(collector.collected.is_empty(), "the counters began again");
    }
}
