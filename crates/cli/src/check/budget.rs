//! What a file costs on Cloudflare's free plan, with the arithmetic.

use std::collections::BTreeMap;
use std::time::Duration;

use tunnel_balancer_config::{MAX_SUBREQUESTS, Work, duration_text};
use tunnel_balancer_core::{HealthCheck, Service};

use super::counted;

/// What nobody can read from a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assumed {
    pub(super) requests_per_day: u64,
    /// Each knows nothing of what the others found out, so each probes.
    pub(super) isolates: u64,
}

/// The costs of a file.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) assumed: Assumed,
    /// The service of which one request can cause most, and what that is.
    pub(super) worst: Option<(String, Work)>,
    /// How many servers are probed how often while they are well.
    pub(super) probed: BTreeMap<Duration, u64>,
    /// Probes of a day while all servers are well, and while none is.
    pub(super) probes: u64,
    pub(super) probes_unwell: u64,
    /// The most servers that one request has probed.
    most_servers: u64,
}

impl Budget {
    /// Requests of clients that the plan serves in a day. Subrequests are not counted.
    pub(super) const REQUESTS_PER_DAY: u64 = 100_000;
    /// Writes to KV in a day.
    pub(super) const KV_WRITES_PER_DAY: u64 = 1_000;
    /// The code of its warnings.
    pub(super) const CODE: &'static str = "free-plan";

    pub(super) fn of(services: &[Service], assumed: Assumed) -> Self {
        let enabled = |service: &Service| service.servers().iter().filter(|server| server.enabled).count() as u64;
        let all = || services.iter().filter_map(|service| Some((service.health_check.as_ref()?, enabled(service))));
        let mut probed = BTreeMap::new();
        for (check, servers) in all() {
            *probed.entry(check.interval).or_default() += servers;
        }
        let in_a_day = |interval: fn(&HealthCheck) -> Duration| {
            let probes = all().map(|(check, servers)| servers.saturating_mul(per_day(interval(check))));
            probes.fold(0, u64::saturating_add).saturating_mul(assumed.isolates)
        };
        // A request starts each probe of its own service once, and once more where a server fails.
        let most_servers = all().map(|(_, servers)| servers).max().unwrap_or_default();
        let most_probes = services.iter().map(|service| u64::from(Work::of(service).probes)).max().unwrap_or_default();
        let by_requests = |probes: u64| assumed.requests_per_day.saturating_mul(probes);
        let worst = services.iter().map(|service| (service, Work::of(service)));
        // The first of several.
        let worst = worst.rev().max_by_key(|(_, work)| work.total());
        Self {
            assumed,
            worst: worst.map(|(service, work)| (service.name(), work)),
            probes: in_a_day(|check| check.interval).min(by_requests(most_servers)),
            probes_unwell: in_a_day(|check| check.interval.min(check.unhealthy_interval)).min(by_requests(most_probes)),
            probed,
            most_servers,
        }
    }

    /// Returns what the plan does not allow.
    pub(super) fn warnings(&self) -> Vec<String> {
        let requests = self.assumed.requests_per_day;
        let requests = (requests > Self::REQUESTS_PER_DAY).then(|| {
            format!("{requests} requests a day are more than the {} of the free plan", Self::REQUESTS_PER_DAY)
        });
        let held = self.worst.as_ref().filter(|(_, work)| work.total() > MAX_SUBREQUESTS).map(|(service, work)| {
            format!(
                "a request of {service} that is held (`retry.hold`) can make {} subrequests, one per 250 ms, more than the \
                 {MAX_SUBREQUESTS} of the free plan; it is answered with 503 when they are used up",
                work.total()
            )
        });
        requests.into_iter().chain(held).collect()
    }

    /// The arithmetic, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let Assumed { requests_per_day, isolates } = self.assumed;
        let subrequests = self.worst.as_ref().map_or_else(String::new, |(service, work)| {
            let Work { attempts, hedges, held, probes, .. } = work;
            let total = work.total();
            let hedges = if *hedges > 0 { format!(" + {hedges} hedge") } else { String::new() };
            let held = if *held > 0 { format!(" + {held} while it is held") } else { String::new() };
            format!(
                "at most {total} of {MAX_SUBREQUESTS}: {attempts} attempts{hedges}{held} + {probes} probes ({service})"
            )
        });
        vec![
            format!("requests a day:          {requests_per_day} of {}", Self::REQUESTS_PER_DAY),
            format!("subrequests a request:   {subrequests}"),
            format!("probes a day:            {}", self.probes_text(isolates)),
            format!("KV writes a day:         0 of {}, for nothing is kept there yet", Self::KV_WRITES_PER_DAY),
            "Durable Object requests: 0, for isolates do not share yet what they know of servers".to_owned(),
        ]
    }

    fn probes_text(&self, isolates: u64) -> String {
        let Self { probes, probes_unwell, most_servers, .. } = self;
        if self.probed.is_empty() {
            return "0, for no service has a health check".to_owned();
        }
        let terms: Vec<String> = self
            .probed
            .iter()
            .map(|(interval, servers)| {
                let (servers, interval, often) =
                    (counted(*servers, "server"), duration_text(*interval), per_day(*interval));
                format!("{servers} x {often} (every {interval})")
            })
            .collect();
        let terms = if terms.len() > 1 { format!("({})", terms.join(" + ")) } else { terms.concat() };
        let by_time = format!("{terms} x {}", counted(isolates, "isolate"));
        let full = self.probed.iter().map(|(interval, servers)| servers.saturating_mul(per_day(*interval)));
        let full = full.fold(0, u64::saturating_add).saturating_mul(isolates);
        let how = if full > *probes {
            let requests = self.assumed.requests_per_day;
            format!("{requests} requests x {most_servers} servers, less than the {full} = {by_time}")
        } else {
            by_time
        };
        format!("{probes} = {how}; up to {probes_unwell} while servers are down")
    }
}

/// Probes of one server by one isolate.
fn per_day(interval: Duration) -> u64 {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    u64::try_from(DAY.as_millis() / interval.as_millis().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(yaml: &str, requests_per_day: u64, isolates: u64) -> Budget {
        let config = tunnel_balancer_config::parse(yaml).unwrap();
        Budget::of(&config.services, Assumed { requests_per_day, isolates })
    }

    const FILE: &str = "
services:
  a.example.com: [a-1.example.com, a-2.example.com, { url: a-3.example.com, enabled: false }]
  b.example.com: { servers: [b-1.example.com, b-2.example.com, b-3.example.com], health_check: { interval: 1m } }
  c.example.com: { servers: c-1.example.com, health_check: false }
";

    #[test]
    fn probes_are_added_up_over_servers_intervals_and_isolates() {
        let budget = budget(FILE, 1_000_000, 3);
        assert_eq!(budget.probes, (2 * 2880 + 3 * 1440) * 3);
        assert_eq!(budget.probes_unwell, 5 * 8640 * 3, "every 10s");
        assert_eq!(budget.worst.map(|(service, work)| (service, work.attempts)), Some(("b.example.com".to_owned(), 3)));
    }

    #[test]
    fn there_are_no_more_probes_than_requests_start() {
        let quiet = budget(FILE, 100, 3);
        assert_eq!((quiet.probes, quiet.probes_unwell), (300, 600), "each starts three, and three more where all fail");
        assert_eq!(budget(FILE, 0, 3).probes, 0);
    }

    #[test]
    fn only_more_than_the_plan_has_is_warned_of() {
        let warnings = |yaml: &str, requests| budget(yaml, requests, 1).warnings().len();
        assert_eq!((warnings(FILE, 100_000), warnings(FILE, 100_001)), (0, 1));
        let held = |hold: &str| FILE.replace("health_check: false", &format!("retry: {{ hold: {hold} }}"));
        assert_eq!((warnings(&held("11s"), 0), warnings(&held("13s"), 0)), (0, 1));
    }
}
