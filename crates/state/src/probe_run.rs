//! When the probes of a monitor run that is woken by alarms.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Lease, Pool, Services, Timestamp};

/// One run of probes.
#[derive(Clone, Copy, Debug)]
pub struct ProbeRun {
    started: Timestamp,
}

/// The runs of a day that start sooner than usual, because the run before had no room for all
/// probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunBudget {
    /// The day since 1970 in UTC, when Cloudflare resets its limits.
    day: u64,
    continuations: u32,
}

impl ProbeRun {
    /// The largest number of probes of one run. Of the 50 subrequests of an invocation, the others
    /// are for notifications.
    pub const MAX_PROBES: u32 = 45;

    /// The largest number of deliveries of one run.
    pub const MAX_DELIVERIES: usize = 4;

    /// The largest number of probes at a time: a Worker has six open connections.
    pub const MAX_CONNECTIONS: usize = 6;

    /// The shortest time between the starts of two runs, apart from those of a [`RunBudget`].
    const SPACING: Duration = Duration::from_secs(Self::SPACING_SECONDS as u64);

    const SPACING_SECONDS: u32 = 4;

    /// The pause before the probes that a run had no room for.
    const CONTINUATION: Duration = Duration::from_secs(1);

    /// The longest time between two runs.
    const MAX_PAUSE: Duration = Duration::from_secs(30);

    /// Starts a run.
    pub const fn start(now: Timestamp) -> Self {
        Self { started: now }
    }

    /// Takes the probe of all pools that is overdue the longest. So a map with more probes than the
    /// runs can make is probed to its end.
    pub fn take_probe(services: &Services, now: Timestamp) -> Option<(&Arc<Pool>, Lease)> {
        let due = |pool: &Arc<Pool>| pool.update(|state| state.next_probe_at(now)).filter(|due| *due <= now);
        let mut pools: Vec<_> = services.pools().filter_map(|pool| Some((due(pool)?, pool))).collect();
        // The first one has a probe, as a rule. A sort would add several kilobytes to a Worker.
        while let Some((index, _)) = pools.iter().enumerate().min_by_key(|(_, (due, _))| *due) {
            let (_, pool) = pools.remove(index);
            if let Some(lease) = pool.update(|state| state.next_probe(now)) {
                return Some((pool, lease));
            }
        }
        None
    }

    /// Returns the time until the next run. `is_used_up` is whether the run made as many probes as
    /// it may.
    pub fn next(self, services: &Services, is_used_up: bool, budget: &mut RunBudget, now: Timestamp) -> Duration {
        let spaced = (self.started + Self::SPACING).since(now);
        if is_used_up {
            return if budget.take(now) { Self::CONTINUATION } else { spaced };
        }
        let due = services.pools().filter_map(|pool| pool.update(|state| state.next_probe_at(now))).min();
        due.map_or(Self::MAX_PAUSE, |due| due.since(now).clamp(spaced, Self::MAX_PAUSE.max(spaced)))
    }
}

impl RunBudget {
    /// The runs of a day that follow after a second instead of [`ProbeRun::SPACING`].
    const MAX_CONTINUATIONS: u32 = 10_000;

    /// The largest number of runs a day. The free plan has 100,000 requests to Durable Objects,
    /// alarms included.
    pub const MAX_RUNS: u32 =
        Self::MAX_CONTINUATIONS + (Self::DAY_SECONDS - Self::MAX_CONTINUATIONS) / ProbeRun::SPACING_SECONDS;

    const DAY_SECONDS: u32 = 24 * 60 * 60;

    /// Counts a run that follows soon. Returns whether it may.
    const fn take(&mut self, now: Timestamp) -> bool {
        let day = now.as_millis() / (Self::DAY_SECONDS as u64 * 1000);
        if self.day != day {
            (self.day, self.continuations) = (day, 0);
        }
        let is_left = self.continuations < Self::MAX_CONTINUATIONS;
        self.continuations += is_left as u32;
        is_left
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tunnel_balancer_core::{ProbeResponse, Server, Service};

    use super::*;

    /// Returns services with three servers each, which are probed at this interval in seconds.
    fn services(count: usize, interval: u64) -> Services {
        let service = |n: usize| {
            let servers = ["a", "b", "c"].map(|name| Server::new(format!("{name}-{n}.example").parse().unwrap()));
            let mut service = Service::new(format!("{n}.test"), servers.to_vec()).unwrap();
            service.health_check.as_mut().unwrap().interval = Duration::from_secs(interval);
            service
        };
        Services::new((0..count).map(service), 1)
    }

    /// Runs probes for `minutes` with passing results. Returns the runs, the probes and the longest
    /// time between two probes of one server.
    fn simulate(services: &Services, minutes: u64, mut budget: RunBudget) -> (u64, u64, Duration) {
        let mut now = Timestamp::from_millis(1_700_000_000_000);
        let end = now + Duration::from_secs(minutes * 60);
        let passed = Ok(ProbeResponse::new(http::StatusCode::OK));
        let (mut runs, mut probes, mut longest) = (0, 0, Duration::ZERO);
        let mut last = BTreeMap::new();
        while now < end {
            let (run, mut left) = (ProbeRun::start(now), ProbeRun::MAX_PROBES);
            runs += 1;
            while left > 0
                && let Some((pool, lease)) = ProbeRun::take_probe(services, now)
            {
                let server = (pool.service().name(), lease.server());
                if let Some(before) = last.insert(server, now) {
                    longest = longest.max(now.since(before));
                }
                pool.update(|state| state.on_probe(lease, &passed, now));
                (left, probes) = (left - 1, probes + 1);
            }
            now = now + run.next(services, left == 0, &mut budget, now);
        }
        let servers: usize = services.pools().map(|pool| pool.service().servers().len()).sum();
        assert_eq!(last.len(), servers, "servers that were probed");
        let since_last = last.values().map(|last| end.since(*last)).max();
        (runs, probes, longest.max(since_last.unwrap_or_default()))
    }

    #[test]
    fn every_server_is_probed_in_time_within_the_daily_limits() {
        // The interval is 30 s, and a fifth of it is random.
        let (runs, probes, longest) = simulate(&services(100, 30), 30, RunBudget::default());
        assert!((180..1_800).contains(&runs), "{runs} alarms in half an hour");
        assert!((15_000..=22_500).contains(&probes), "{probes}");
        assert!(longest <= Duration::from_secs(36 + 5), "{longest:?}");
        let (runs, _, longest) = simulate(&services(1, 30), 24 * 60, RunBudget::default());
        assert!((2_880..=10_000).contains(&runs), "{runs} alarms");
        assert!(longest <= Duration::from_secs(36 + 5), "{longest:?}");
    }

    #[test]
    fn without_continuations_every_server_is_probed_nevertheless() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let used_up = RunBudget {
            day: now.as_millis() / (u64::from(RunBudget::DAY_SECONDS) * 1000),
            continuations: RunBudget::MAX_CONTINUATIONS,
        };
        let (_, _, longest) = simulate(&services(100, 30), 10, used_up);
        assert!(longest <= Duration::from_secs(36 + 5), "{longest:?}");
        // Each run has room for 45 of 300 servers, and they are due in each second run.
        let (_, _, longest) = simulate(&services(100, 5), 10, used_up);
        assert!(longest <= Duration::from_secs(4 * 300 / 45 + 10), "{longest:?}");
    }
}
