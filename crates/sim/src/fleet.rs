//! Isolates and their requests during a run.
//!
//! A Worker runs in many isolates, and each has its own view of the servers. An isolate is
//! simulated as a pool with its own seed, and a request is routed to a random one. Isolates share
//! only the servers, unless they [exchange snapshots](super::Sim::share_every).

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Clock, Forwarded, Pool, RequestMeta, Rng, Service, forward, keep_probing, run_probes};

use crate::arrivals::Arrivals;
use crate::baseline::Baseline;
use crate::caller::{Caller, Progress, SubrequestLimits};
use crate::client::{Client, ClientRequest};
use crate::clock::VirtualClock;
use crate::executor::Spawner;
use crate::record::End;
use crate::script::ScriptedClient;

/// The state of a running simulation.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) service: Service,
    pub(super) isolates: Vec<Rc<Pool>>,
    /// Balancers that replace the engine, one per isolate. Empty: the engine runs.
    pub(super) baselines: Vec<Box<dyn Baseline>>,
    pub(super) client: ScriptedClient,
    pub(super) clock: VirtualClock,
    pub(super) spawner: Spawner,
    /// The time after which clients disconnect. Default none.
    pub(super) client_timeout: Option<Duration>,
    /// The limits of each request. Default none.
    pub(super) subrequest_limits: Option<SubrequestLimits>,
    /// Selects the isolate of each request.
    pub(super) router_rng: RefCell<Rng>,
    /// Requests created so far.
    pub(super) requests: Cell<usize>,
    /// Whether the run has ended.
    pub(super) is_over: Cell<bool>,
}

impl Fleet {
    /// Waits until a request arrives and handles it.
    pub(super) async fn request(self: Rc<Self>, number: usize, at: Duration, request: ClientRequest) {
        self.clock.sleep(at.saturating_sub(self.clock.elapsed())).await;
        let isolate =
            usize::try_from(self.router_rng.borrow_mut().below(self.isolates.len() as u64)).unwrap_or_default();
        let Some(pool) = self.isolates.get(isolate) else { return };
        let label = format!("{} #{number}{}", request.meta.method, self.suffix(isolate));
        let index = {
            let mut trace = self.client.trace.borrow_mut();
            trace.stats.arrived(at);
            trace.record.arrived(self.clock.elapsed(), &request.meta.method)
        };
        let (path, progress) = (request.path, Rc::<Progress>::default());
        let caller = Caller {
            fleet: Rc::clone(&self),
            pool: Rc::clone(pool),
            request: index,
            is_prober: false,
            path,
            progress: Rc::clone(&progress),
        };
        let forwarded = {
            let mut forwarded = pin!(self.forward(isolate, pool, &caller, &label, request.meta));
            let forwarded = match request.timeout.or(self.client_timeout) {
                Some(limit) => self.within(limit, forwarded.as_mut()).await,
                None => Some(forwarded.as_mut().await),
            };
            progress.is_over.set(true);
            forwarded
        };
        let (mut trace, now) = (self.client.trace.borrow_mut(), self.clock.now());
        let end = match forwarded {
            Some(forwarded) => trace.answered(now, &label, at, &forwarded, &self.service),
            None => {
                trace.timed_out(now, &label, at);
                End::TimedOut
            }
        };
        trace.record.ended(index, self.clock.elapsed(), end);
        drop(trace);
        self.changes(isolate, pool);
    }

    /// Creates the requests of a stream at their arrival times.
    pub(super) async fn requests(self: Rc<Self>, mut arrivals: Arrivals, mut rng: Rng) {
        while let Some(at) = arrivals.next(&mut rng) {
            self.clock.sleep(at.saturating_sub(self.clock.elapsed())).await;
            let mut request = arrivals.request.clone();
            if arrivals.distinct_clients {
                request.meta.hash_key = rng.next_u64();
            }
            self.spawner.spawn(Rc::clone(&self).request(self.next_number(), at, request));
        }
    }

    /// Runs a client until its end.
    pub(super) async fn client(self: Rc<Self>, client: Client) {
        let mut at = client.from;
        while at < client.until {
            Rc::clone(&self).request(self.next_number(), at, client.request.clone()).await;
            at = self.clock.elapsed() + client.pause;
        }
    }

    /// Starts due probes of one isolate also while no request arrives, like the native server.
    pub(super) async fn probe_continuously(self: Rc<Self>, isolate: usize) {
        let Some(pool) = self.isolates.get(isolate).map(Rc::clone) else { return };
        let progress = Rc::<Progress>::default();
        let caller = Caller { fleet: self, pool, request: usize::MAX, is_prober: true, path: None, progress };
        keep_probing(&caller.pool, &caller, &caller.fleet.clock).await;
    }

    fn next_number(&self) -> usize {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        number
    }

    /// Merges the snapshots of all isolates into `shared` and back, once per `period`.
    ///
    /// `shared` is the state of a pool that receives no requests.
    pub(super) async fn share(self: Rc<Self>, period: Duration, shared: Pool) {
        loop {
            self.clock.sleep(period).await;
            let now = self.clock.now();
            for (isolate, pool) in self.isolates.iter().enumerate() {
                let snapshot = pool.update(|state| state.export(&self.suffix(isolate)));
                shared.update(|state| state.merge(&snapshot, now));
            }
            let merged = shared.update(|state| state.export("shared"));
            self.isolates.iter().for_each(|pool| pool.update(|state| state.merge(&merged, now)));
        }
    }

    /// Adds the state changes of all isolates to the trace.
    pub(super) fn events(&self) {
        if !self.client.trace.borrow().is_counts_only() {
            self.all_changes();
        }
    }

    pub(super) fn all_changes(&self) {
        self.isolates.iter().enumerate().for_each(|(isolate, pool)| self.changes(isolate, pool));
    }

    /// Adds the state changes of one isolate to the trace.
    pub(super) fn changes(&self, isolate: usize, pool: &Pool) {
        self.client.trace.borrow_mut().changes(pool, isolate, &self.suffix(isolate));
    }

    async fn forward(
        &self,
        isolate: usize,
        pool: &Pool,
        caller: &Caller,
        label: &str,
        info: RequestMeta,
    ) -> Forwarded<StatusCode> {
        match self.baselines.get(isolate) {
            Some(baseline) => baseline.forward(caller, &self.clock, &info).await,
            None => forward(pool, caller, &self.clock, label.to_owned(), info).await,
        }
    }

    /// Starts the probes that are due as separate tasks.
    pub(super) fn start_probes(&self, caller: &Caller) {
        while let Some(lease) = caller.pool.update(|state| state.next_probe(self.clock.now())) {
            let caller = Caller { is_prober: true, ..caller.clone() };
            self.spawner.spawn(async move { run_probes(&caller.pool, &caller, &caller.fleet.clock, lease).await });
        }
    }

    /// Returns the suffix that identifies an isolate in the trace. Empty if there is only one.
    fn suffix(&self, isolate: usize) -> String {
        if self.isolates.len() == 1 { String::new() } else { format!("@{isolate}") }
    }

    /// Returns the output of `future`, or `None` after `limit`.
    pub(super) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let (mut future, mut end) = (pin!(future), pin!(self.clock.sleep(limit)));
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => end.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}
