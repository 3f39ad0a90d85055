//! Outages on a virtual clock: a script goes in, a trace comes out.
//!
//! A balancer's faults show in time: a probe that comes too late, an ejection that never ends. Waiting for them makes
//! tests slow and unsure, so here time is a number that jumps from event to event. The engine under test is the real one,
//! [`forward`](tunnel_balancer_core::forward()) and [`run_probes`](tunnel_balancer_core::run_probes) included; scripted are the servers and the arrivals.
//! Equal scripts and seeds give equal traces, to the byte.
//!
//! ```
//! use std::time::Duration;
//! use tunnel_balancer_sim::{Behaviour, Sim};
//! use tunnel_balancer_core::{Server, Service};
//!
//! let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let service = Service::new("app.example", servers.to_vec())?;
//! let mut sim = Sim::new(service, 1);
//! sim.server(Duration::ZERO, "a", Behaviour::status(530));
//! sim.get(Duration::from_secs(1));
//! let trace = sim.run(Duration::from_secs(2));
//! assert_eq!(trace.answers[0].served_by.as_deref(), Some("b"));
//! # Ok::<(), tunnel_balancer_core::ServerCountError>(())
//! ```
//!
//! # Fleets
//!
//! Other faults show in numbers only: how many of ten thousand requests were slow, and whether a hundred isolates that know
//! nothing of each other do as well as one. For those, requests come in streams ([`Arrivals`]) to many [`isolates`], servers
//! take varying times or work on one request at a time ([`Behaviour::in_turn`]), clients lose [`patience`], and a
//! [`quiet`] run is read from [`Trace::tally`].
//!
//! ```
//! # use std::time::Duration;
//! # use tunnel_balancer_sim::{Arrivals, Behaviour, Sim};
//! # use tunnel_balancer_core::{Policy, Server, Service};
//! # let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let mut service = Service::new("app.example", servers.to_vec())?;
//! service.policy = Policy::Latency;
//! let mut sim = Sim::new(service, 1);
//! sim.isolates(10).quiet();
//! let usual = Behaviour::status(200).after(Duration::from_millis(150)).normal(Duration::from_millis(5));
//! sim.server(Duration::ZERO, "a", usual);
//! sim.server(Duration::ZERO, "b", usual);
//! sim.server(Duration::from_secs(20), "b", Behaviour::status(200).after(Duration::from_secs(2)));
//! sim.arrivals(Arrivals::poisson(50.0).until(Duration::from_secs(60)));
//! let tally = sim.run(Duration::from_secs(70)).tally;
//! assert_eq!(tally.total().failed, 0);
//! assert!(tally.served_within(Duration::from_secs(1)) > 0.95);
//! # Ok::<(), tunnel_balancer_core::ServerCountError>(())
//! ```
//!
//! # Pictures and comparisons
//!
//! Whoever wants to draw a run has it [recorded](Sim::record), every request, attempt and probe with its times; whoever wants
//! to know how another balancer would have fared puts [baselines](Sim::baselines) in the engine's place.
//!
//! [`isolates`]: Sim::isolates
//! [`patience`]: Sim::patience
//! [`quiet`]: Sim::quiet

mod arrivals;
mod behaviour;
mod caller;
mod clock;
mod executor;
mod fleet;
mod queue;
mod record;
mod rival;
mod script;
mod tally;
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
pub use behaviour::Behaviour;
pub use caller::Caller;
pub use clock::VirtualClock;
pub use record::{Change, End, Record, Recorded, Sent};
pub use rival::Baseline;
pub use tally::{Count, Stats};
pub use trace::{Answer, Trace};

/// One service, its scripted servers and the requests that will arrive.
///
/// A copy runs as the original does, [quiet](Self::quiet) or not: keep one to get the text of a run that went wrong.
#[derive(Clone, Debug)]
pub struct Sim {
    service: Service,
    seed: u64,
    isolates: usize,
    rival: Option<fn() -> Box<dyn Baseline>>,
    client: ScriptedClient,
    requests: Vec<(Duration, RequestMeta)>,
    arrivals: Vec<Arrivals>,
    patience: Option<Duration>,
    sharing: Option<Duration>,
}

impl Sim {
    /// A service in one isolate, whose servers all answer 200 after 1 ms until told otherwise. `seed` decides everything
    /// that is left to chance.
    pub fn new(service: Service, seed: u64) -> Self {
        Self {
            client: ScriptedClient::new(stream(seed, Stream::Servers)),
            service,
            seed,
            isolates: 1,
            rival: None,
            requests: Vec::new(),
            arrivals: Vec::new(),
            patience: None,
            sharing: None,
        }
    }

    /// The service runs in this many isolates, each with its own pool. A request comes to one of them by lot.
    pub const fn isolates(&mut self, count: usize) -> &mut Self {
        self.isolates = count;
        self
    }

    /// Every so often, isolates tell each other the newest that any of them knows. Until told otherwise they do not.
    pub const fn share_every(&mut self, period: Duration) -> &mut Self {
        self.sharing = Some(period);
        self
    }

    /// Clients wait this long and go away. Until told otherwise they wait for ever.
    pub const fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = Some(patience);
        self
    }

    /// Only what can be counted is kept, for runs of many requests: no text, no list of answers.
    pub fn quiet(&mut self) -> &mut Self {
        self.client.trace.get_mut().be_quiet();
        self
    }

    /// Everything that happens is kept in [`Trace::record`].
    pub fn record(&mut self) -> &mut Self {
        self.client.trace.get_mut().record.turn_on();
        self
    }

    /// Puts what `make` makes in the engine's place, one in each isolate. Balancers that are not the engine do not share what
    /// they know.
    pub const fn baselines(&mut self, make: fn() -> Box<dyn Baseline>) -> &mut Self {
        self.rival = Some(make);
        self
    }

    /// From `at` on, the server with this name behaves so, to requests and to probes.
    pub fn server(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.client.script(at, name, behaviour);
        self.client.script_probes(at, name, behaviour);
    }

    /// From `at` on, the server with this name behaves so to probes alone: what it shows them need not be what users see.
    pub fn probes(&mut self, at: Duration, name: &str, behaviour: Behaviour) {
        self.client.script_probes(at, name, behaviour);
    }

    /// At `at`, the connections of all that wait for this server break.
    pub fn cut(&mut self, at: Duration, name: &str) {
        self.client.cut(at, name);
    }

    /// A request that arrives at `at`.
    pub fn request(&mut self, at: Duration, info: RequestMeta) {
        self.requests.push((at, info));
    }

    /// A `GET` that arrives at `at`.
    pub fn get(&mut self, at: Duration) {
        self.request(at, RequestMeta::new(Method::GET));
    }

    /// Requests that arrive in a stream.
    pub fn arrivals(&mut self, arrivals: Arrivals) {
        self.arrivals.push(arrivals);
    }

    /// Lets time pass until `end`. Requests still on their way then are dropped, as by clients that go away.
    pub fn run(self, end: Duration) -> Trace {
        self.run_watched(end, |_| ())
    }

    /// The same, and `watch` is told the time on the virtual clock whenever something happened.
    pub fn run_watched(self, end: Duration, watch: impl Fn(Duration)) -> Trace {
        let executor = Executor::default();
        let (clock, spawner) = (executor.clock(), executor.spawner());
        // The first isolate has the seed itself.
        let mut seeds = Rng::new(stream(self.seed, Stream::Isolates));
        let isolates = (0..self.isolates.max(1)).map(|number| if number == 0 { self.seed } else { seeds.next_u64() });
        let fleet = Rc::new(Fleet {
            isolates: isolates.map(|seed| Rc::new(Pool::new(self.service.clone(), seed))).collect(),
            service: self.service.clone(),
            baselines: self.rival.map_or_else(Vec::new, |make| (0..self.isolates).map(|_| make()).collect()),
            client: self.client.on(clock.clone()),
            clock,
            spawner: spawner.clone(),
            patience: self.patience,
            lots: RefCell::new(Rng::new(stream(self.seed, Stream::Lots))),
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

/// What is left to chance, each from a stream of its own, so that more of one does not change the others.
#[derive(Clone, Copy)]
enum Stream {
    Servers = 1,
    Isolates,
    Lots,
    Arrivals,
}

/// The seed of one of the streams that follow from `seed`.
const fn stream(seed: u64, stream: Stream) -> u64 {
    let mut rng = Rng::new(seed ^ (stream as u64).rotate_right(8));
    rng.next_u64()
}
