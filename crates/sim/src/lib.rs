//! A discrete-event simulator: runs a scripted outage on a virtual clock and returns its trace.
//!
//! Many defects of a load balancer are defects in time, such as a late probe or an ejection that
//! never ends. Tests that wait for them in real time are slow and flaky. Here the clock jumps from
//! event to event. The servers and the clients are scripted. The engine is the real one, including
//! [`forward`](tunnel_balancer_core::forward()) and
//! [`run_probes`](tunnel_balancer_core::run_probes). Equal scripts and seeds produce traces that are
//! equal to the byte.
//!
//! ```
//! use std::time::Duration;
//! use tunnel_balancer_sim::{Behavior, Sim};
//! use tunnel_balancer_core::{Server, Service};
//!
//! let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let service = Service::new("app.example", servers.to_vec())?;
//! let mut sim = Sim::new(service, 1);
//! sim.server(Duration::ZERO, "a", Behavior::status(530));
//! sim.get(Duration::from_secs(1));
//! let trace = sim.run(Duration::from_secs(2));
//! assert_eq!(trace.responses[0].served_by.as_deref(), Some("b"));
//! # Ok::<(), tunnel_balancer_core::ServerCountError>(())
//! ```
//!
//! # Fleets
//!
//! Other defects are visible only in statistics, such as the share of slow requests, or the cost of
//! isolates that share no state. [`Arrivals`] generates streams of requests for many [`isolates`].
//! Servers have random response times or process one request at a time ([`Behavior::serial`]).
//! Clients have a [timeout]. [`Trace::stats`] holds the results, and [`counts_only`] omits the
//! text.
//!
//! ```
//! # use std::time::Duration;
//! # use tunnel_balancer_sim::{Arrivals, Behavior, Sim};
//! # use tunnel_balancer_core::{Policy, Server, Service};
//! # let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let mut service = Service::new("app.example", servers.to_vec())?;
//! service.policy = Policy::Latency;
//! let mut sim = Sim::new(service, 1);
//! sim.isolates(10).counts_only();
//! let usual = Behavior::status(200).after(Duration::from_millis(150)).normal(Duration::from_millis(5));
//! sim.server(Duration::ZERO, "a", usual);
//! sim.server(Duration::ZERO, "b", usual);
//! sim.server(Duration::from_secs(20), "b", Behavior::status(200).after(Duration::from_secs(2)));
//! sim.arrivals(Arrivals::poisson(50.0).until(Duration::from_secs(60)));
//! let stats = sim.run(Duration::from_secs(70)).stats;
//! assert_eq!(stats.total().failed, 0);
//! assert!(stats.served_within(Duration::from_secs(1)) > 0.95);
//! # Ok::<(), tunnel_balancer_core::ServerCountError>(())
//! ```
//!
//! # Records and comparisons
//!
//! [`Sim::record`] enables a record of every request, attempt and probe with its times, for diagrams.
//! [`Sim::baselines`] replaces the engine with another balancer, for comparisons.
//!
//! [`isolates`]: Sim::isolates
//! [timeout]: Sim::client_timeout
//! [`counts_only`]: Sim::counts_only

mod arrivals;
mod baseline;
mod behavior;
mod caller;
mod clock;
mod executor;
mod fleet;
mod queue;
mod record;
mod script;
mod stats;
mod trace;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Pool, RequestMeta, Rng, Service};

use executor::Executor;
use fleet::Fleet;
use script::ScriptedClient;

pub use arrivals::Arrivals;
pub use baseline::Baseline;
pub use behavior::Behavior;
pub use caller::Caller;
pub use clock::VirtualClock;
pub use record::{Change, End, Record, RequestRecord, UpstreamRequest};
pub use stats::{Count, Stats};
pub use trace::{ClientResponse, Trace};

/// A service, its scripted servers and its clients.
///
/// A clone runs exactly as the original does, with or without text. Tests keep one to print the
/// trace of a run that failed.
#[derive(Clone, Debug)]
pub struct Sim {
    service: Service,
    seed: u64,
    isolates: usize,
    baseline: Option<fn() -> Box<dyn Baseline>>,
    client: ScriptedClient,
    requests: Vec<(Duration, RequestMeta)>,
    arrivals: Vec<Arrivals>,
    client_timeout: Option<Duration>,
    sharing: Option<Duration>,
}

impl Sim {
    /// Creates a simulation of one isolate whose servers respond with 200 after 1 ms.
    ///
    /// `seed` determines all random choices.
    pub fn new(service: Service, seed: u64) -> Self {
        Self {
            client: ScriptedClient::new(stream(seed, Stream::Servers)),
            service,
            seed,
            isolates: 1,
            baseline: None,
            requests: Vec::new(),
            arrivals: Vec::new(),
            client_timeout: None,
            sharing: None,
        }
    }

    /// Sets the number of isolates. Each has its own pool, and each request is routed to a random
    /// one. Default 1.
    pub const fn isolates(&mut self, count: usize) -> &mut Self {
        self.isolates = count;
        self
    }

    /// Makes isolates exchange snapshots once per `period`. Default never.
    pub const fn share_every(&mut self, period: Duration) -> &mut Self {
        self.sharing = Some(period);
        self
    }

    /// Sets the time after which clients disconnect. Default never.
    pub const fn client_timeout(&mut self, limit: Duration) -> &mut Self {
        self.client_timeout = Some(limit);
        self
    }

    /// Omits the text and the list of responses, for runs with many requests.
    pub fn counts_only(&mut self) -> &mut Self {
        self.client.trace.get_mut().set_counts_only();
        self
    }

    /// Enables [`Trace::record`].
    pub fn record(&mut self) -> &mut Self {
        self.client.trace.get_mut().record.turn_on();
        self
    }

    /// Replaces the engine with the balancers that `make` returns, one per isolate.
    ///
    /// They do not exchange snapshots.
    pub const fn baselines(&mut self, make: fn() -> Box<dyn Baseline>) -> &mut Self {
        self.baseline = Some(make);
        self
    }

    /// Sets the behavior of a server from `at` on, for requests and probes.
    pub fn server(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.client.script(at, name, behavior);
        self.client.script_probes(at, name, behavior);
    }

    /// Sets the behavior of a server from `at` on, for probes only.
    pub fn probes(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.client.script_probes(at, name, behavior);
    }

    /// Resets all open connections to a server at `at`.
    pub fn reset_connections(&mut self, at: Duration, name: &str) {
        self.client.reset_connections(at, name);
    }

    /// Adds a request that arrives at `at`.
    pub fn request(&mut self, at: Duration, request: RequestMeta) {
        self.requests.push((at, request));
    }

    /// Adds a `GET` request that arrives at `at`.
    pub fn get(&mut self, at: Duration) {
        self.request(at, RequestMeta::new(Method::GET));
    }

    /// Adds a stream of requests.
    pub fn arrivals(&mut self, arrivals: Arrivals) {
        self.arrivals.push(arrivals);
    }

    /// Runs the simulation until `end`. Requests that are still open then are dropped.
    pub fn run(self, end: Duration) -> Trace {
        self.run_watched(end, |_| ())
    }

    /// Like [`run`](Self::run), and calls `watch` with the virtual time after every event.
    pub fn run_watched(self, end: Duration, watch: impl Fn(Duration)) -> Trace {
        let executor = Executor::default();
        let (clock, spawner) = (executor.clock(), executor.spawner());
        // The first isolate uses the seed itself.
        let mut seeds = Rng::new(stream(self.seed, Stream::Isolates));
        let isolates = (0..self.isolates.max(1)).map(|number| if number == 0 { self.seed } else { seeds.next_u64() });
        let fleet = Rc::new(Fleet {
            isolates: isolates.map(|seed| Rc::new(Pool::new(self.service.clone(), seed))).collect(),
            service: self.service.clone(),
            baselines: self.baseline.map_or_else(Vec::new, |make| (0..self.isolates).map(|_| make()).collect()),
            client: self.client.on(clock.clone()),
            clock,
            spawner: spawner.clone(),
            client_timeout: self.client_timeout,
            router_rng: RefCell::new(Rng::new(stream(self.seed, Stream::Router))),
            requests: Cell::new(self.requests.len()),
        });
        for (number, (at, info)) in (1..).zip(self.requests) {
            spawner.spawn(Rc::clone(&fleet).request(number, at, info));
        }
        let mut seeds = Rng::new(stream(self.seed, Stream::Arrivals));
        for arrivals in self.arrivals {
            spawner.spawn(Rc::clone(&fleet).requests(arrivals, Rng::new(seeds.next_u64())));
        }
        if let Some(period) = self.sharing {
            spawner.spawn(Rc::clone(&fleet).share(period, Pool::new(self.service, self.seed)));
        }
        executor.run_until(end, || {
            fleet.events();
            watch(fleet.clock.elapsed());
        });
        fleet.isolates.iter().enumerate().for_each(|(isolate, pool)| fleet.changes(isolate, pool));
        let mut trace = fleet.client.trace.take();
        trace.record.sort();
        trace
    }
}

/// The independent random streams. Additional draws from one do not change the others.
#[derive(Clone, Copy)]
enum Stream {
    Servers = 1,
    Isolates,
    Router,
    Arrivals,
}

/// Derives the seed of a random stream from `seed`.
const fn stream(seed: u64, stream: Stream) -> u64 {
    let mut rng = Rng::new(seed ^ (stream as u64).rotate_right(8));
    rng.next_u64()
}
