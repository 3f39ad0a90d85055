//! The script of a run.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use tunnel_balancer_core::{Pool, RequestMeta, Rng, Service};

use crate::caller::SubrequestLimits;
use crate::client_request::ClientRequest;
use crate::executor::Executor;
use crate::fleet::Fleet;
use crate::script::{ScriptedClient, Target};
use crate::{Arrivals, Baseline, Behavior, Client, Sharing, Trace};

/// A service, its scripted servers and its clients.
///
/// A clone runs exactly as the original does, with or without text. Tests keep one to print the
/// trace of a run that failed.
///
/// # Panics
/// Functions with the name of a server panic if the service has no server with it.
#[derive(Clone, Debug)]
pub struct Sim {
    service: Service,
    seed: u64,
    isolates: usize,
    baseline: Option<fn() -> Box<dyn Baseline>>,
    client: ScriptedClient,
    requests: Vec<(Duration, ClientRequest)>,
    arrivals: Vec<Arrivals>,
    clients: Vec<Client>,
    probe_continuously: bool,
    client_timeout: Option<Duration>,
    subrequest_limits: Option<SubrequestLimits>,
    sharing: Option<Sharing>,
    site_size: usize,
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
            clients: Vec::new(),
            probe_continuously: false,
            client_timeout: None,
            subrequest_limits: None,
            sharing: None,
            site_size: usize::MAX,
        }
    }

    /// Sets the number of isolates. Each has its own pool, and each request is routed to a random
    /// one. Default 1.
    pub const fn isolates(&mut self, count: usize) -> &mut Self {
        self.isolates = count;
        self
    }

    /// Sets the number of sites, such as data centers, and the number of isolates in each.
    pub const fn sites(&mut self, count: usize, isolates: usize) -> &mut Self {
        self.isolates = count.saturating_mul(isolates);
        self.site_size = if isolates == 0 { 1 } else { isolates };
        self
    }

    /// Makes isolates exchange snapshots. Default never.
    pub const fn share(&mut self, sharing: Sharing) -> &mut Self {
        self.sharing = Some(sharing);
        self
    }

    /// Sets the time after which clients disconnect. Default never.
    pub const fn client_timeout(&mut self, limit: Duration) -> &mut Self {
        self.client_timeout = Some(limit);
        self
    }

    /// Limits the attempts and probes of each request in total, and its probes, like a Worker.
    /// Beyond that nothing is sent, and the attempt or probe fails with
    /// [`Failure::Local`](tunnel_balancer_core::Failure::Local). Default no limit.
    pub const fn subrequest_limits(&mut self, total: u32, probes: u32) -> &mut Self {
        self.subrequest_limits = Some(SubrequestLimits { total, probes });
        self
    }

    /// Starts probes when they are due, like the native server. By default they start when a
    /// request arrives or ends, like those of a Worker.
    pub const fn probe_continuously(&mut self) -> &mut Self {
        self.probe_continuously = true;
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
    #[track_caller]
    pub fn server(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.check_name(name);
        self.client.script(at, name, behavior);
        self.client.script_probes(at, name, behavior);
    }

    /// Sets the behavior of a server from `at` on, for probes only.
    #[track_caller]
    pub fn probes(&mut self, at: Duration, name: &str, behavior: Behavior) {
        self.check_name(name);
        self.client.script_probes(at, name, behavior);
    }

    /// Sets the behavior of a server from `at` on, for requests from these sites.
    #[track_caller]
    pub fn traffic_from(&mut self, sites: Range<usize>, at: Duration, name: &str, behavior: Behavior) {
        self.check_name(name);
        self.client.script_sites(at, name, sites, Target::Path(None), behavior);
    }

    /// Sets the behavior of a server from `at` on, for probes from these sites.
    #[track_caller]
    pub fn probes_from(&mut self, sites: Range<usize>, at: Duration, name: &str, behavior: Behavior) {
        self.check_name(name);
        self.client.script_sites(at, name, sites, Target::Probe, behavior);
    }

    /// Sets the behavior of a server from `at` on, for requests with this path only.
    #[track_caller]
    pub fn path(&mut self, at: Duration, name: &str, path: &'static str, behavior: Behavior) {
        self.check_name(name);
        self.client.script_path(at, name, path, behavior);
    }

    /// Pauses a server for `length`: it accepts requests and probes, and processes none.
    #[track_caller]
    pub fn pause(&mut self, at: Duration, length: Duration, name: &str) {
        self.check_name(name);
        self.client.pause(at, length, name);
    }

    /// Resets all open connections to a server at `at`.
    #[track_caller]
    pub fn reset_connections(&mut self, at: Duration, name: &str) {
        self.check_name(name);
        self.client.reset_connections(at, name);
    }

    /// Adds a request that arrives at `at`.
    pub fn request(&mut self, at: Duration, request: impl Into<ClientRequest>) {
        self.requests.push((at, request.into()));
    }

    /// Adds a `GET` request that arrives at `at`.
    pub fn get(&mut self, at: Duration) {
        self.request(at, RequestMeta::new(Method::GET));
    }

    /// Adds a stream of requests.
    pub fn arrivals(&mut self, arrivals: Arrivals) {
        self.arrivals.push(arrivals);
    }

    /// Adds a client that waits for each response before it sends the next request.
    pub fn client(&mut self, client: Client) {
        self.clients.push(client);
    }

    /// Runs the simulation until `end`. Requests that are still open then are dropped.
    pub fn run(self, end: Duration) -> Trace {
        self.run_watched(end, |_, _| ())
    }

    /// Like [`run`](Self::run), and calls `watch` with the virtual time and the pools of all
    /// isolates after every event.
    pub fn run_watched(self, end: Duration, watch: impl Fn(Duration, &[Rc<Pool>])) -> Trace {
        let executor = Executor::default();
        let (clock, spawner) = (executor.clock(), executor.spawner());
        // The first isolate uses the seed itself.
        let mut seeds = Rng::new(stream(self.seed, Stream::Isolates));
        let isolates = (0..self.isolates.max(1)).map(|number| if number == 0 { self.seed } else { seeds.next_u64() });
        let fleet = Rc::new(Fleet {
            isolates: isolates.map(|seed| Rc::new(Pool::new(self.service.clone(), seed))).collect(),
            site_size: self.site_size,
            service: self.service.clone(),
            baselines: self.baseline.map_or_else(Vec::new, |make| (0..self.isolates).map(|_| make()).collect()),
            client: self.client.on(clock.clone()),
            clock,
            spawner: spawner.clone(),
            client_timeout: self.client_timeout,
            subrequest_limits: self.subrequest_limits,
            router_rng: RefCell::new(Rng::new(stream(self.seed, Stream::Router))),
            requests: Cell::new(self.requests.len()),
            is_over: Cell::new(false),
        });
        for (number, (at, request)) in (1..).zip(self.requests) {
            spawner.spawn(Rc::clone(&fleet).request(number, at, request));
        }
        let mut seeds = Rng::new(stream(self.seed, Stream::Arrivals));
        for arrivals in self.arrivals {
            spawner.spawn(Rc::clone(&fleet).requests(arrivals, Rng::new(seeds.next_u64())));
        }
        for client in self.clients {
            spawner.spawn(Rc::clone(&fleet).client(client));
        }
        if self.probe_continuously {
            (0..self.isolates).for_each(|isolate| spawner.spawn(Rc::clone(&fleet).probe_continuously(isolate)));
        }
        if let Some(sharing) = self.sharing {
            Fleet::share(&fleet, sharing, || Pool::new(self.service.clone(), self.seed));
        }
        let unfinished = executor.run_until(end, || {
            fleet.events();
            watch(fleet.clock.elapsed(), &fleet.isolates);
        });
        fleet.is_over.set(true);
        drop(unfinished);
        fleet.all_changes();
        let mut trace = fleet.client.trace.take();
        trace.record.sort();
        trace
    }

    #[track_caller]
    fn check_name(&self, name: &str) {
        let servers = self.service.servers();
        let names = || servers.iter().map(|server| format!("`{}`", server.name)).collect::<Vec<_>>().join(", ");
        assert!(
            servers.iter().any(|server| server.name == name),
            "unknown server `{name}`: expected one of {}",
            names()
        );
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
