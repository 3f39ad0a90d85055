//! Outages on a virtual clock: a script goes in, a trace comes out. (Feature `sim`.)
//!
//! A balancer's faults show in time: a probe that comes too late, an ejection that never ends. Waiting for them makes
//! tests slow and unsure, so here time is a number that jumps from event to event. The engine under test is the real one,
//! [`forward`](crate::forward()) and [`run_probes`] included; scripted are the servers and the arrivals.
//! Equal scripts and seeds give equal traces, to the byte.
//!
//! ```
//! use std::time::Duration;
//! use tunnel_balancer_core::sim::{Behaviour, Sim};
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

mod executor;
mod script;
mod trace;

use std::rc::Rc;
use std::time::Duration;

use http::Method;

use crate::client::Clock;
use crate::forward::{forward, run_probes};
use crate::pool::Pool;
use crate::retry::{Body, RequestInfo};
use crate::service::Service;
use executor::{Executor, Spawner};
use script::ScriptedClient;

pub use executor::VirtualClock;
pub use script::Behaviour;
pub use trace::{Answer, Trace};

/// One service, its scripted servers and the requests that will arrive.
#[derive(Debug)]
pub struct Sim {
    pool: Rc<Pool>,
    client: ScriptedClient,
    arrivals: Vec<(Duration, RequestInfo)>,
}

impl Sim {
    /// A service whose servers all answer 200 after 1 ms until told otherwise.
    pub fn new(service: Service, seed: u64) -> Self {
        let pool = Rc::new(Pool::new(service, seed));
        Self { pool, client: ScriptedClient::default(), arrivals: Vec::new() }
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

    /// A request that arrives at `at`.
    pub fn request(&mut self, at: Duration, info: RequestInfo) {
        self.arrivals.push((at, info));
    }

    /// A `GET` that arrives at `at`.
    pub fn get(&mut self, at: Duration) {
        self.request(at, RequestInfo { method: Method::GET, idempotency_key: false, body: Body::Replayable });
    }

    /// Lets time pass until `end`. Requests still on their way then are dropped, as by clients that go away.
    pub fn run(self, end: Duration) -> Trace {
        let executor = Executor::default();
        let clock = executor.clock();
        let client = Rc::new(self.client.on(clock.clone()));
        for (number, (at, info)) in (1..).zip(self.arrivals) {
            let (pool, client, clock) = (Rc::clone(&self.pool), Rc::clone(&client), clock.clone());
            let spawner = executor.spawner();
            executor.spawn(async move {
                clock.sleep(at).await;
                // As a Worker does: look for due probes when a request comes, and again when it may have made one due.
                probe(&pool, &client, &clock, &spawner);
                let label = format!("{} #{number}", info.method);
                let forwarded = forward(&pool, &*client, &clock, label.clone(), info).await;
                client.trace.borrow_mut().answered(clock.now(), &label, at, &forwarded, pool.service());
                probe(&pool, &client, &clock, &spawner);
            });
        }
        executor.run_until(end, || client.trace.borrow_mut().events(&self.pool));
        client.trace.take()
    }
}

fn probe(pool: &Rc<Pool>, client: &Rc<ScriptedClient>, clock: &VirtualClock, spawner: &Spawner) {
    while let Some(lease) = pool.update(|state| state.next_probe(clock.now())) {
        let (pool, client, clock) = (Rc::clone(pool), Rc::clone(client), clock.clone());
        spawner.spawn(async move { run_probes(&pool, &*client, &clock, lease).await });
    }
}
