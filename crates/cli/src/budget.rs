//! The estimated usage of Cloudflare's free plan, with the arithmetic.

use std::collections::BTreeMap;
use std::time::Duration;

use tunnel_balancer_config::{MAX_SUBREQUESTS, Subrequests, format_duration};
use tunnel_balancer_core::{HealthCheck, Service};
use tunnel_balancer_state::{HealthSharing, KvBudget, ReadBudget, RunBudget};

use crate::plural::count;

/// Assumptions that a map does not contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assumed {
    pub(crate) requests_per_day: u64,
    /// Isolates share no state, so each one probes.
    pub(crate) isolates: u64,
}

impl Assumed {
    pub(crate) const DEFAULT: Self = Self { requests_per_day: 10_000, isolates: 3 };
}

/// The estimated usage of a map.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) assumed: Assumed,
    /// The service whose requests can cause the most subrequests, and their number.
    pub(crate) worst: Option<(String, Subrequests)>,
    /// The number of servers by the interval of their probes while they are healthy.
    pub(crate) probed: BTreeMap<Duration, u64>,
    /// Probes per day while all servers are healthy, and while none is.
    pub(crate) probes: u64,
    pub(crate) probes_unhealthy: u64,
    /// The most servers that one request can probe.
    max_servers: u64,
    sharing: HealthSharing,
}

impl Budget {
    /// Client requests per day. Subrequests do not count.
    pub(crate) const REQUESTS_PER_DAY: u64 = 100_000;
    /// Writes to KV per day.
    pub(crate) const KV_WRITES_PER_DAY: u64 = 1_000;
    /// Requests to Durable Objects per day, alarms included.
    pub(crate) const OBJECT_REQUESTS_PER_DAY: u64 = 100_000;
    /// The code of the warnings.
    pub(crate) const CODE: &'static str = "free-plan";

    pub(crate) fn of(services: &[Service], sharing: HealthSharing, assumed: Assumed) -> Self {
        let all = || services.iter().flat_map(checks);
        let mut probed = BTreeMap::new();
        for check in all() {
            *probed.entry(check.interval).or_default() += 1;
        }
        let per_day_of = |interval: fn(&HealthCheck) -> Duration| {
            let probes = all().map(|check| per_day(interval(check)));
            probes.fold(0, u64::saturating_add).saturating_mul(assumed.isolates)
        };
        // A request starts one probe per server of its service, and one more per server that fails.
        let max_servers = services.iter().map(|service| checks(service).count() as u64).max().unwrap_or_default();
        let max_probes =
            services.iter().map(|service| u64::from(Subrequests::of(service).probes)).max().unwrap_or_default();
        let by_requests = |probes: u64| assumed.requests_per_day.saturating_mul(probes);
        let worst = services.iter().map(|service| (service, Subrequests::of(service)));
        // The first one, if several are equal.
        let worst = worst.rev().max_by_key(|(_, work)| work.total());
        Self {
            assumed,
            worst: worst.map(|(service, work)| (service.name(), work)),
            probes: per_day_of(|check| check.interval).min(by_requests(max_servers)),
            probes_unhealthy: per_day_of(|check| check.interval.min(check.unhealthy_interval))
                .min(by_requests(max_probes)),
            probed,
            max_servers,
            sharing,
        }
    }

    /// Returns the most writes to KV per day.
    pub(crate) const fn kv_writes(&self) -> u64 {
        // In the mode `monitor`, there may be a namespace.
        match self.sharing {
            HealthSharing::Kv => KvBudget::MAX_WITH_COMMANDS as u64,
            HealthSharing::Monitor => KvBudget::MAX_PER_DAY as u64,
            _ => 0,
        }
    }

    /// Returns the most alarms of the Durable Object per day, and the requests of one data center
    /// with continuous traffic.
    pub(crate) fn object_requests(&self) -> (u64, u64) {
        match self.sharing {
            HealthSharing::DurableObject => (RunBudget::MAX_RUNS.into(), per_day(ReadBudget::FAST)),
            _ => (0, 0),
        }
    }

    /// Returns a warning for each exceeded limit.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let requests = self.assumed.requests_per_day;
        let requests = (requests > Self::REQUESTS_PER_DAY)
            .then(|| format!("{requests} requests per day exceed the {} of the free plan", Self::REQUESTS_PER_DAY));
        requests.into_iter().collect()
    }

    /// Returns the estimate as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Assumed { requests_per_day, isolates } = self.assumed;
        let subrequests = self.worst.as_ref().map_or_else(String::new, |(service, work)| {
            let Subrequests { attempts, hedges, held, probes, .. } = work;
            let total = work.total();
            let hedges = if *hedges > 0 { format!(" + {}", count((*hedges).into(), "hedge")) } else { String::new() };
            let held = if *held > 0 { format!(" + {held} while held") } else { String::new() };
            let (attempts, probes) = (count((*attempts).into(), "attempt"), count((*probes).into(), "probe"));
            format!("at most {total} of {MAX_SUBREQUESTS}: {attempts}{hedges}{held} + {probes} ({service})")
        });
        vec![
            format!("requests per day:        {requests_per_day} of {}", Self::REQUESTS_PER_DAY),
            format!("subrequests per request: {subrequests}"),
            format!("probes per day:          {}", self.probes_line(isolates)),
            format!("KV writes per day:       {} of {}", self.kv_writes(), Self::KV_WRITES_PER_DAY),
            format!("Durable Object requests: {}", self.object_line()),
        ]
    }

    fn object_line(&self) -> String {
        let (alarms, reads) = self.object_requests();
        if alarms == 0 {
            return "0".to_owned();
        }
        let (limit, slow) = (Self::OBJECT_REQUESTS_PER_DAY, per_day(ReadBudget::SLOW));
        let fast = ReadBudget::FAST_READS;
        format!(
            "up to {alarms} alarms + {reads} for each data center with continuous traffic, of {limit}; after {fast} \
             reads of a day, {slow} for each"
        )
    }

    fn probes_line(&self, isolates: u64) -> String {
        let Self { probes, probes_unhealthy, max_servers, .. } = self;
        if self.probed.is_empty() {
            return "0, as no service has a health check".to_owned();
        }
        let terms: Vec<String> = self
            .probed
            .iter()
            .map(|(interval, servers)| {
                let (servers, interval, often) =
                    (count(*servers, "server"), format_duration(*interval), per_day(*interval));
                format!("{servers} x {often} (every {interval})")
            })
            .collect();
        let terms = if terms.len() > 1 { format!("({})", terms.join(" + ")) } else { terms.concat() };
        let by_time = format!("{terms} x {}", count(isolates, "isolate"));
        let full = self.probed.iter().map(|(interval, servers)| servers.saturating_mul(per_day(*interval)));
        let full = full.fold(0, u64::saturating_add).saturating_mul(isolates);
        let sum = if full > *probes {
            let (requests, servers) = (self.assumed.requests_per_day, *max_servers);
            let (requests, servers) = (count(requests, "request"), count(servers, "server"));
            format!("{requests} x {servers}, less than {full} = {by_time}")
        } else {
            by_time
        };
        format!("{probes} = {sum}; up to {probes_unhealthy} while servers are down")
    }
}

/// Returns the health check of each server that is probed.
fn checks(service: &Service) -> impl Iterator<Item = &HealthCheck> {
    let enabled = service.all().iter().filter(|id| service.server(*id).is_some_and(|server| server.enabled));
    enabled.filter_map(|id| service.health_check_of(id))
}

/// Returns the probes of one server by one isolate.
fn per_day(interval: Duration) -> u64 {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    u64::try_from(DAY.as_millis() / interval.as_millis().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(yaml: &str, requests_per_day: u64, isolates: u64) -> Budget {
        let config = tunnel_balancer_config::parse(yaml).unwrap();
        Budget::of(&config.services, config.health_sharing, Assumed { requests_per_day, isolates })
    }

    const FILE: &str = "
services:
  a.example.com: [a-1.example.com, a-2.example.com, { url: a-3.example.com, enabled: false }]
  b.example.com: { servers: [b-1.example.com, b-2.example.com, b-3.example.com], health_check: { interval: 1m } }
  c.example.com: { servers: c-1.example.com, health_check: false }
";

    #[test]
    fn probes_are_summed_over_servers_intervals_and_isolates() {
        let budget = budget(FILE, 1_000_000, 3);
        assert_eq!(budget.probes, (2 * 2880 + 3 * 1440) * 3);
        assert_eq!(budget.probes_unhealthy, 5 * 8640 * 3, "every 10s");
        assert_eq!(budget.worst.map(|(service, work)| (service, work.attempts)), Some(("b.example.com".to_owned(), 3)));
    }

    #[test]
    fn requests_limit_the_number_of_probes() {
        let quiet = budget(FILE, 100, 3);
        assert_eq!((quiet.probes, quiet.probes_unhealthy), (300, 600), "three per request, and three more if all fail");
        assert_eq!(budget(FILE, 0, 3).probes, 0);
    }

    #[test]
    fn only_exceeded_limits_are_warnings() {
        let warnings = |yaml: &str, requests| budget(yaml, requests, 1).warnings().len();
        assert_eq!((warnings(FILE, 100_000), warnings(FILE, 100_001)), (0, 1));
    }
}
