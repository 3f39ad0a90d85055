//! One fault of one server in one mode of sharing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Policy, RequestMeta, Server, Service, Timestamp};
use tunnel_balancer_sim::{Arrivals, Behavior, Sharing, Sim};

/// The data centers, and the isolates in each.
pub(crate) const SITES: usize = 300;
pub(crate) const ISOLATES: usize = 20;

/// The region of a regional fault: a third of the data centers.
pub(crate) const REGION: Range<usize> = 0..100;

/// The data center from which a monitor and the cron trigger see the servers.
const MONITOR_SITE: usize = 150;

/// How long the fault lasts, in seconds.
const FAULT_SECONDS: usize = 60;

const SEED: u64 = 20_261_127;

/// What happens to the first server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its tunnel is down: 530 for requests and probes.
    TunnelDown,
    /// It accepts requests and probes, and never responds.
    Hangs,
    /// A third of the requests gets 502. Probes pass.
    Gray,
    /// It hangs for the requests and probes of [`REGION`].
    Region,
    /// It works, but the place of the monitor cannot reach it.
    MonitorOnly,
}

/// A mode of `health_sharing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Isolate,
    Colo,
    Kv,
    DurableObject,
    Monitor,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [Self::Isolate, Self::Colo, Self::Kv, Self::DurableObject, Self::Monitor];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::Colo => "colo",
            Self::Kv => "kv",
            Self::DurableObject => "durable_object",
            Self::Monitor => "monitor",
        }
    }

    /// The intervals and delays are those of docs/shared-health.md.
    fn sharing(self) -> Option<Sharing> {
        let s = Duration::from_secs;
        match self {
            Self::Isolate => None,
            Self::Colo => Some(Sharing::every(s(2)).per_site()),
            Self::Kv => Some(Sharing::every(s(30)).read_only().delay(s(30)).cron(MONITOR_SITE, s(60), s(40))),
            Self::DurableObject => Some(Sharing::every(s(3)).monitor(MONITOR_SITE)),
            // Readers in other data centers get the record of the monitor from Workers KV.
            Self::Monitor => Some(Sharing::every(s(30)).read_only().delay(s(30)).monitor(MONITOR_SITE)),
        }
    }
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) fault: Fault,
    pub(crate) mode: Mode,
    /// Requests per second of the fleet.
    pub(crate) rate: f64,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) case: Case,
    /// Requests that arrived during the fault.
    pub(crate) arrived: usize,
    /// Those without a response below 500.
    pub(crate) lost: usize,
    /// Those that took more than a second, or were lost.
    pub(crate) slow: usize,
    /// Attempts for each request during the fault.
    pub(crate) attempts: f64,
    /// Probes of the first server per second.
    pub(crate) probes: f64,
    /// The share of the isolates concerned that do not select the first server, in each second.
    pub(crate) avoiding: Vec<f64>,
}

impl Case {
    /// The rate of the fleet with much traffic: eight requests per second to each isolate.
    pub(crate) const BUSY: f64 = 50_000.0;
    /// The rate of the fleet with little traffic: one request in ten seconds to each isolate.
    pub(crate) const QUIET: f64 = 600.0;

    /// All cases, the longest first.
    pub(crate) fn all() -> Vec<Self> {
        let faults = [Fault::TunnelDown, Fault::Hangs, Fault::Gray, Fault::Region, Fault::MonitorOnly];
        let with_rate = |rate| faults.iter().flat_map(move |&fault| Mode::ALL.map(|mode| Self { fault, mode, rate }));
        with_rate(Self::BUSY).chain(with_rate(Self::QUIET)).collect()
    }

    /// When the fault begins and ends, in seconds. Isolates with little traffic need longer to
    /// measure their servers.
    pub(crate) fn fault(&self) -> Range<usize> {
        let start = if self.rate < Self::BUSY { 60 } else { 10 };
        start..start + FAULT_SECONDS
    }

    /// Returns the length of the run.
    fn end(&self) -> Duration {
        seconds(self.fault().end + if self.rate < Self::BUSY { 30 } else { 10 })
    }

    pub(crate) fn run(&self) -> Figures {
        let (fault, end) = (self.fault(), self.end());
        let mut sim = Sim::new(service(), SEED);
        sim.sites(SITES, ISOLATES).counts_only().subrequest_limits(50, 25);
        if let Some(sharing) = self.mode.sharing() {
            sim.share(sharing);
        }
        let usual = Behavior::status(200).after(Duration::from_millis(80)).normal(Duration::from_millis(15));
        for server in ["a", "b", "c"] {
            sim.server(Duration::ZERO, server, usual);
        }
        self.script(&mut sim, usual);
        for (method, share) in [(Method::GET, 0.8), (Method::POST, 0.2)] {
            let arrivals = Arrivals::poisson(self.rate * share).until(end);
            sim.arrivals(arrivals.request(RequestMeta::new(method)));
        }
        let (avoiding, next) = (RefCell::new(Vec::new()), Cell::new(Duration::ZERO));
        let trace = sim.run_watched(end, |now, pools| {
            if now < next.get() {
                return;
            }
            next.set(next.get() + Duration::from_secs(1));
            let pools = pools.get(self.concerned()).unwrap_or_default();
            let avoids = |servers: &[tunnel_balancer_core::ServerStatus]| servers.first().is_some_and(|a| !a.serving);
            let count =
                pools.iter().filter(|pool| avoids(&pool.update(|state| state.status(Timestamp::ZERO + now)).servers));
            avoiding.borrow_mut().push(count.count() as f64 / pools.len() as f64);
        });
        let during = trace.stats.window(seconds(fault.start)..seconds(fault.end));
        let total = during.total();
        Figures {
            case: *self,
            arrived: total.arrived,
            lost: total.lost(),
            slow: during.slower_than(Duration::from_secs(1)),
            attempts: total.attempts_per_request(),
            probes: trace.probes.get("a").copied().unwrap_or_default() as f64 / end.as_secs_f64(),
            avoiding: avoiding.into_inner(),
        }
    }

    /// Scripts the fault and its end.
    fn script(&self, sim: &mut Sim, usual: Behavior) {
        let (start, end) = (seconds(self.fault().start), seconds(self.fault().end));
        let down = Behavior::status(530).after(Duration::from_millis(30));
        let (hangs, gray) = (Behavior::hangs(), usual.mix(1.0 / 3.0, Behavior::status(502)));
        match self.fault {
            Fault::TunnelDown => sim.server(start, "a", down),
            Fault::Hangs => sim.server(start, "a", hangs),
            Fault::Gray => {
                sim.server(start, "a", gray);
                sim.probes(start, "a", usual);
            }
            Fault::Region => {
                sim.traffic_from(REGION, start, "a", hangs);
                sim.probes_from(REGION, start, "a", hangs);
                sim.traffic_from(REGION, end, "a", usual);
                sim.probes_from(REGION, end, "a", usual);
            }
            Fault::MonitorOnly => {
                sim.probes_from(MONITOR_SITE..MONITOR_SITE + 1, start, "a", hangs);
                sim.probes_from(MONITOR_SITE..MONITOR_SITE + 1, end, "a", usual);
            }
        }
        sim.server(end, "a", usual);
    }

    /// Returns the isolates that should avoid the server, and for [`Fault::MonitorOnly`] those that
    /// should not.
    const fn concerned(&self) -> Range<usize> {
        match self.fault {
            Fault::Region => 0..REGION.end * ISOLATES,
            Fault::MonitorOnly => 0..MONITOR_SITE * ISOLATES,
            _ => 0..SITES * ISOLATES,
        }
    }
}

impl Figures {
    /// Returns the seconds from the start of the fault until nearly all isolates concerned avoid
    /// the server.
    pub(crate) fn agreement(&self) -> Option<usize> {
        let mut seconds = self.case.fault();
        let start = seconds.start;
        let second = seconds.find(|at| self.avoiding.get(*at).is_some_and(|share| *share > 0.99));
        second.map(|at| at - start)
    }

    /// Returns the largest share of the isolates concerned that avoided the server.
    pub(crate) fn most_avoiding(&self) -> f64 {
        self.avoiding.iter().copied().fold(0.0, f64::max)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}, {} requests per second", self.fault, self.mode.name(), self.rate)
    }
}

const fn seconds(count: usize) -> Duration {
    Duration::from_secs(count as u64)
}

/// Three servers in the order of preference, with the default settings and a health check.
fn service() -> Service {
    let servers = ["a", "b", "c"].map(|name| {
        let url = format!("https://{name}.example.com").parse().expect("a valid URL");
        let mut server = Server::new(url);
        server.name = name.to_owned();
        server
    });
    let mut service = Service::new("app.example.com", servers.to_vec()).expect("three servers");
    service.policy = Policy::Failover;
    service
}
