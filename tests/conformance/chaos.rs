//! Random faults under a steady load: servers are killed, hung, restarted, or respond with 502 or
//! 530. No GET may fail, and no POST may run twice.
//!
//! One server at a time, the rock, has no fault. The others get random faults from a seed. When the
//! rock changes, the old one works until all earlier GETs have ended. Otherwise a GET with two
//! failed attempts could find the third server failing, too, which no balancer can prevent.
//!
//! The probes of the new rock may not have passed yet, so all servers may be marked unavailable for
//! a moment. `tests/fleets/chaos.rs` is the same test on the virtual clock, where a loss is
//! reproducible.
//!
//! The full run is longer. A failure prints its seed, and any seed can be repeated:
//!
//! ```text
//! TUNNEL_BALANCER_FULL=1 TUNNEL_BALANCER_SEED=7 cargo test -p tunnel-balancer-tests --test conformance -- chaos --nocapture
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::env;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tunnel_balancer_tests::{Action, Bench, Client, Digest, FaultyServer, Gate, Reply, Request, Service, is_full};

cases![no_get_fails_and_no_post_runs_twice];

/// The variable that selects another seed than 1.
const SEED: &str = "TUNNEL_BALANCER_SEED";

/// The interval of requests: 200 per second.
const PACE: Duration = Duration::from_millis(5);

async fn no_get_fails_and_no_post_runs_twice(bench: Bench) {
    let seconds = if is_full() { 60 } else { 12 };
    let seed = env::var(SEED).map_or(1, |seed| seed.parse().expect("a number as the seed"));
    let servers = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of(servers.iter()).checked_often()).await;
    let load = Rc::new(Load::new(app.client()));
    let (end, chaos) = (Gate::closed(), Chaos::new(seed, &servers));

    let faults = async {
        tokio::select! {
            () = chaos.run(&load) => {}
            () = end.passed() => {}
        }
        // GETs end by themselves. POSTs may wait for a hung server until it restarts.
        load.gets_have_ended().await;
        chaos.restart_all().await;
    };
    let traffic = async {
        let mut open = load.run(seconds * 1000 / PACE.as_millis() as usize).await;
        end.open(); // requests that still hang end when their servers restart
        while let Some(ended) = open.join_next().await {
            ended.expect("no panic");
        }
    };
    LocalSet::new().run_until(async { tokio::join!(faults, traffic) }).await;

    let executed = executed(servers.iter());
    let twice: Vec<_> = executed.iter().filter(|(_, by)| by.len() > 1).collect();
    let (gets, posts) = (load.failed("GET"), load.failed("POST"));
    let unexecuted = load.successful_posts().into_iter().filter(|id| !executed.contains_key(id)).count();
    let retried = servers.iter().map(seen_gets).sum::<usize>().saturating_sub(load.gets() - gets.len());
    println!(
        "seed {seed}: {} requests, {} failed GETs of {}, {} POSTs executed twice of {}, {} failed POSTs; {} faults, \
         {} changes of the responding server, {retried} retried GETs (without refused connections), slowest GET {:?}",
        load.outcomes.borrow().len(),
        gets.len(),
        load.gets(),
        twice.len(),
        load.outcomes.borrow().len() - load.gets(),
        posts.len(),
        chaos.history.borrow().len(),
        load.changes(),
        load.slowest_get(),
    );
    let history = || chaos.history.borrow().join("\n");
    assert!(gets.is_empty(), "seed {seed}: {} failed GETs:\n{}\nfaults:\n{}", gets.len(), gets.join("\n"), history());
    assert!(twice.is_empty(), "seed {seed}: executed twice: {twice:?}\nfaults:\n{}", history());
    assert_eq!(unexecuted, 0, "seed {seed}: POSTs were successful but not executed");
    assert!(retried > 0 && load.changes() > 0, "seed {seed}: no fault had an effect");
}

// === the load ===

/// Repeats three GETs and a POST at fixed times, independently of earlier requests. Each has a
/// number.
struct Load {
    client: Client,
    outcomes: RefCell<Vec<Outcome>>,
    /// GETs in flight, by number.
    open: RefCell<BTreeMap<usize, Gate>>,
    start: Instant,
}

struct Outcome {
    id: usize,
    method: &'static str,
    started: Duration,
    took: Duration,
    /// The server of a 200, or a description of the failure.
    result: Result<String, String>,
}

impl Load {
    fn new(client: Client) -> Self {
        let (outcomes, open) = (RefCell::default(), RefCell::default());
        Self { client, outcomes, open, start: Instant::now() }
    }

    /// Starts `requests` requests. Returns those that are in flight at the end.
    async fn run(self: &Rc<Self>, requests: usize) -> JoinSet<()> {
        let mut in_flight = JoinSet::new();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for id in 0..requests {
            pace.tick().await;
            let load = Rc::clone(self);
            in_flight.spawn_local(async move { load.send(id).await });
            while let Some(ended) = in_flight.try_join_next() {
                ended.expect("no panic");
            }
        }
        in_flight
    }

    async fn send(&self, id: usize) {
        let (method, request) = match id % 4 {
            3 => ("POST", Request::post(&format!("/orders?id={id}"), order(id))),
            _ => ("GET", Request::get(&format!("/?id={id}"))),
        };
        let (started, ended) = (self.start.elapsed(), Gate::closed());
        if method == "GET" {
            self.open.borrow_mut().insert(id, ended.clone());
        }
        let result = self.result(&request).await;
        ended.open();
        self.open.borrow_mut().remove(&id);
        let took = self.start.elapsed() - started;
        self.outcomes.borrow_mut().push(Outcome { id, method, started, took, result });
    }

    async fn result(&self, request: &Request) -> Result<String, String> {
        // Each request has its own connection: the target may close an idle one at the moment at
        // which it is used again.
        let mut connection = self.client.connect().await;
        let response = connection.send(request).await.map_err(|error| format!("broken connection: {error}"))?;
        match response.status {
            200 => Ok(response.served_by().to_owned()),
            status => Err(format!("{status} by {}: {}", response.served_by(), response.text().trim())),
        }
    }

    /// Waits until all GETs in flight have ended.
    async fn gets_have_ended(&self) {
        let open: Vec<_> = self.open.borrow().values().cloned().collect();
        for ended in open {
            ended.passed().await;
        }
    }

    fn gets(&self) -> usize {
        self.outcomes.borrow().iter().filter(|outcome| outcome.method == "GET").count()
    }

    fn failed(&self, method: &str) -> Vec<String> {
        let of_method = |outcome: &&Outcome| outcome.method == method;
        let failure = |outcome: &Outcome| {
            let Outcome { id, started, took, result, .. } = outcome;
            Some(format!("{id}, started at {started:.3?}, after {took:.3?}: {}", result.as_ref().err()?))
        };
        self.outcomes.borrow().iter().filter(of_method).filter_map(failure).collect()
    }

    fn successful_posts(&self) -> Vec<usize> {
        let outcomes = self.outcomes.borrow();
        outcomes
            .iter()
            .filter(|outcome| outcome.method == "POST" && outcome.result.is_ok())
            .map(|post| post.id)
            .collect()
    }

    fn changes(&self) -> usize {
        let outcomes = self.outcomes.borrow();
        let by: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()).collect();
        by.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    fn slowest_get(&self) -> Duration {
        let outcomes = self.outcomes.borrow();
        outcomes.iter().filter(|outcome| outcome.method == "GET").map(|get| get.took).max().unwrap_or_default()
    }
}

fn order(id: usize) -> String {
    format!("order {id}")
}

/// Returns the servers that executed each POST. A server executes a POST that it has read to its
/// end, unless it responds with 530, which means that the tunnel reached no server.
fn executed<'a>(servers: impl Iterator<Item = &'a FaultyServer>) -> BTreeMap<usize, Vec<String>> {
    let mut executed = BTreeMap::<_, Vec<_>>::new();
    for server in servers {
        for seen in server.requests() {
            let Some(id) = seen.target.strip_prefix("/orders?id=").filter(|_| seen.replied_status != Some(530)) else {
                continue;
            };
            let id: usize = id.parse().expect("the id of a POST");
            assert_eq!(seen.body, Digest::of(order(id)), "the body of a POST");
            executed.entry(id).or_default().push(server.name().to_owned());
        }
    }
    executed
}

fn seen_gets(server: &FaultyServer) -> usize {
    server.requests().iter().filter(|seen| seen.method == "GET").count()
}

// === the faults ===

/// The faults. The seed decides their kinds, their order and their times, except for the wait at
/// the end of each phase.
struct Chaos<'a> {
    servers: &'a [FaultyServer],
    rng: Cell<u64>,
    /// The server without faults.
    rock: Cell<usize>,
    history: RefCell<Vec<String>>,
    start: Instant,
}

impl<'a> Chaos<'a> {
    fn new(seed: u64, servers: &'a [FaultyServer]) -> Self {
        let rock = Cell::new(servers.len() - 1); // the last in the list: the others have the traffic
        Self { servers, rng: Cell::new(seed), rock, history: RefCell::default(), start: Instant::now() }
    }

    async fn run(&self, load: &Load) {
        loop {
            let rock = self.rock.get();
            for _ in 0..4 + self.below(4) {
                let victim = self.other_than(rock);
                self.inject(victim).await;
                sleep(Duration::from_millis(100 + self.below(900))).await;
            }
            let next = self.other_than(rock);
            self.restart(next).await;
            load.gets_have_ended().await;
            self.rock.set(next);
            self.note(next, "is the rock");
        }
    }

    async fn inject(&self, victim: usize) {
        let server = &self.servers[victim];
        let fault = self.below(7);
        self.restart(victim).await; // one fault at a time
        match fault {
            0 => {
                self.note(victim, "is killed");
                server.stop().await;
            }
            1 | 2 => {
                self.note(victim, "hangs");
                server.outage(Action::Hang);
            }
            3 => {
                self.note(victim, "responds with 502");
                server.outage(Reply::status(502));
            }
            4 => {
                self.note(victim, "responds with 530");
                server.outage(Reply::status(530));
            }
            5 => {
                self.note(victim, "responds with 502, and its probes pass");
                server.respond(Reply::status(502));
            }
            _ => {} // only restarted
        }
    }

    /// Restarts a server, which drops all connections, also hung ones.
    async fn restart(&self, index: usize) {
        self.note(index, "restarts");
        let server = &self.servers[index];
        server.stop().await;
        server.recover();
        server.restart().expect("its port is held");
    }

    /// Ends all faults. Requests on hung servers are retried on the rock.
    async fn restart_all(&self) {
        for index in (0..self.servers.len()).filter(|index| *index != self.rock.get()) {
            self.restart(index).await;
        }
    }

    fn note(&self, index: usize, what: &str) {
        let at = self.start.elapsed();
        self.history.borrow_mut().push(format!("{at:.3?}: {} {what}", self.servers[index].name()));
    }

    fn other_than(&self, rock: usize) -> usize {
        let count = self.servers.len();
        (rock + 1 + self.below(count as u64 - 1) as usize) % count
    }

    /// Returns a random number below `end` (SplitMix64).
    fn below(&self, end: u64) -> u64 {
        self.rng.set(self.rng.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut z = self.rng.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}
