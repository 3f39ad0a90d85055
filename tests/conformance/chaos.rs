//! A steady load while servers are killed, hung, made to answer 502 or 530, and restarted: no GET
//! fails, no POST runs twice.
//!
//! One server at a time is the rock: nothing happens to it. The others get one fault after the
//! other, all drawn from a seed. When the rock changes, the old one stays well, too, until the GETs
//! that began before are answered: one that has met two faults and is on its way to the third
//! server must not find that one broken as well. A list without a server that is well is nobody's
//! fault.
//!
//! The new one need not have passed its probes by then: for a moment every server is away in the
//! eyes of the balancer. `tests/fleets/chaos.rs` runs the same on a virtual clock, where a loss can
//! be looked at.
//!
//! The full run is longer, and any seed can be run again; a failure names it:
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
use tunnel_balancer_tests::{Answer, Bench, Client, Digest, FaultyServer, Gate, Reply, Request, Service};

cases![no_get_fails_and_no_post_runs_twice];

/// If set, a minute.
const FULL: &str = "TUNNEL_BALANCER_FULL";

/// Another seed than 1.
const SEED: &str = "TUNNEL_BALANCER_SEED";

/// From one request to the next: 200 a second.
const PACE: Duration = Duration::from_millis(5);

async fn no_get_fails_and_no_post_runs_twice(bench: Bench) {
    let seconds = if env::var_os(FULL).is_some() { 60 } else { 12 };
    let seed = env::var(SEED).map_or(1, |seed| seed.parse().expect("a number as the seed"));
    let servers = bench.servers(["a", "b", "c"]).await;
    let app = bench.start(Service::of(servers.iter()).checked_often()).await;
    let load = Rc::new(Load::new(app.client()));
    let (over, chaos) = (Gate::closed(), Chaos::new(seed, &servers));

    let faults = async {
        tokio::select! {
            () = chaos.rage(&load) => {}
            () = over.passed() => {}
        }
        // GETs find their way by themselves; POSTs may have to wait for what does not come.
        load.answered().await;
        chaos.restart_all().await;
    };
    let traffic = async {
        let mut answered = load.run(seconds * 1000 / PACE.as_millis() as usize).await;
        over.open(); // what still hangs is dropped when its server restarts
        while let Some(ended) = answered.join_next().await {
            ended.expect("no panic");
        }
    };
    LocalSet::new().run_until(async { tokio::join!(faults, traffic) }).await;

    let executed = executed(servers.iter());
    let twice: Vec<_> = executed.iter().filter(|(_, by)| by.len() > 1).collect();
    let (gets, posts) = (load.failed("GET"), load.failed("POST"));
    let unseen = load.answered_posts().into_iter().filter(|id| !executed.contains_key(id)).count();
    let asked_again = servers.iter().map(seen_gets).sum::<usize>().saturating_sub(load.gets() - gets.len());
    println!(
        "seed {seed}: {} requests, {} failed GETs of {}, {} POSTs executed twice of {}, {} failed POSTs; {} faults, {} changes \
         of the server that answers, {asked_again} GETs asked again (refused connections not counted), slowest GET {:?}",
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
    assert_eq!(unseen, 0, "seed {seed}: POSTs were answered and not executed");
    assert!(asked_again > 0 && load.changes() > 0, "seed {seed}: there was no chaos");
}

// === the load ===

/// Three GETs and a POST with a number of its own, over and over, each when its time has come,
/// whatever became of the others.
struct Load {
    client: Client,
    outcomes: RefCell<Vec<Outcome>>,
    /// GETs under way, by number.
    open: RefCell<BTreeMap<usize, Gate>>,
    began: Cell<usize>,
    start: Instant,
}

struct Outcome {
    id: usize,
    method: &'static str,
    began: Duration,
    took: Duration,
    /// Who answered 200; what came instead.
    result: Result<String, String>,
}

impl Load {
    fn new(client: Client) -> Self {
        let (outcomes, open) = (RefCell::default(), RefCell::default());
        Self { client, outcomes, open, began: Cell::default(), start: Instant::now() }
    }

    /// Begins so many requests, and hands over those that are still under way then.
    async fn run(self: &Rc<Self>, requests: usize) -> JoinSet<()> {
        let mut underway = JoinSet::new();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for id in 0..requests {
            pace.tick().await;
            let load = Rc::clone(self);
            underway.spawn_local(async move { load.ask(id).await });
            while let Some(ended) = underway.try_join_next() {
                ended.expect("no panic");
            }
        }
        underway
    }

    async fn ask(&self, id: usize) {
        let (method, request) = match id % 4 {
            3 => ("POST", Request::post(&format!("/orders?id={id}"), order(id))),
            _ => ("GET", Request::get(&format!("/?id={id}"))),
        };
        self.began.set(id + 1);
        let (began, answered) = (self.start.elapsed(), Gate::closed());
        if method == "GET" {
            self.open.borrow_mut().insert(id, answered.clone());
        }
        let result = self.result(&request).await;
        answered.open();
        self.open.borrow_mut().remove(&id);
        let took = self.start.elapsed() - began;
        self.outcomes.borrow_mut().push(Outcome { id, method, began, took, result });
    }

    async fn result(&self, request: &Request) -> Result<String, String> {
        // A connection each: one that was kept may be closed as idle by the target in the moment in
        // which it is used again.
        let mut connection = self.client.connect().await;
        let response = connection.send(request).await.map_err(|error| format!("broken connection: {error}"))?;
        match response.status {
            200 => Ok(response.served_by().to_owned()),
            status => Err(format!("{status} by {}: {}", response.served_by(), response.text().trim())),
        }
    }

    /// Waits for the answers to all GETs that have begun.
    async fn answered(&self) {
        let open: Vec<_> = self.open.borrow().values().cloned().collect();
        for answered in open {
            answered.passed().await;
        }
    }

    fn gets(&self) -> usize {
        self.outcomes.borrow().iter().filter(|outcome| outcome.method == "GET").count()
    }

    fn failed(&self, method: &str) -> Vec<String> {
        let of_method = |outcome: &&Outcome| outcome.method == method;
        let failure = |outcome: &Outcome| {
            let Outcome { id, began, took, result, .. } = outcome;
            Some(format!("{id}, begun at {began:.3?}, after {took:.3?}: {}", result.as_ref().err()?))
        };
        self.outcomes.borrow().iter().filter(of_method).filter_map(failure).collect()
    }

    fn answered_posts(&self) -> Vec<usize> {
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

/// Who executed which POSTs: everybody who read one to its end. A 530 is the edge's answer when no
/// server was reached.
fn executed<'a>(servers: impl Iterator<Item = &'a FaultyServer>) -> BTreeMap<usize, Vec<String>> {
    let mut executed = BTreeMap::<_, Vec<_>>::new();
    for server in servers {
        for seen in server.requests() {
            let Some(id) = seen.target.strip_prefix("/orders?id=").filter(|_| seen.told != Some(530)) else { continue };
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

/// What happens to the servers. What and in which order comes from the seed alone; when, from the
/// seed as well, but for the wait at the end of each phase.
struct Chaos<'a> {
    servers: &'a [FaultyServer],
    dice: Cell<u64>,
    /// The one that is well.
    rock: Cell<usize>,
    history: RefCell<Vec<String>>,
    start: Instant,
}

impl<'a> Chaos<'a> {
    fn new(seed: u64, servers: &'a [FaultyServer]) -> Self {
        let rock = Cell::new(servers.len() - 1); // the last of the list: the others have the traffic
        Self { servers, dice: Cell::new(seed), rock, history: RefCell::default(), start: Instant::now() }
    }

    async fn rage(&self, load: &Load) {
        loop {
            let rock = self.rock.get();
            for _ in 0..4 + self.below(4) {
                let victim = self.other_than(rock);
                self.strike(victim).await;
                sleep(Duration::from_millis(100 + self.below(900))).await;
            }
            let next = self.other_than(rock);
            self.restart(next).await;
            load.answered().await;
            self.rock.set(next);
            self.note(next, "is the rock");
        }
    }

    async fn strike(&self, victim: usize) {
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
                server.outage(Answer::Hang);
            }
            3 => {
                self.note(victim, "answers 502");
                server.outage(Reply::status(502));
            }
            4 => {
                self.note(victim, "answers 530");
                server.outage(Reply::status(530));
            }
            5 => {
                self.note(victim, "answers 502, and its probes pass");
                server.answer(Reply::status(502));
            }
            _ => {} // restarted, and that is all
        }
    }

    /// As a program restarts: every connection is dropped, also those that hung.
    async fn restart(&self, index: usize) {
        self.note(index, "restarts");
        let server = &self.servers[index];
        server.stop().await;
        server.recover();
        server.restart().expect("its port is held");
    }

    /// Ends all faults. Whatever hangs on a server that restarts has the rock to go to.
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

    /// A number below `end`, by SplitMix64.
    fn below(&self, end: u64) -> u64 {
        self.dice.set(self.dice.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut z = self.dice.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}
