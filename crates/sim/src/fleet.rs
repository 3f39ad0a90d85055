//! Isolates and their requests during a run.
//!
//! A Worker runs in many isolates, and each has its own view of the servers. An isolate is
//! simulated as a pool with its own seed, and a request is routed to a random one. Isolates share
//! only the servers, unless they [exchange snapshots](super::Sim::share). The isolates of one site,
//! such as a data center, are numbered in a row.

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
use crate::client::Client;
use crate::client_request::ClientRequest;
use crate::clock::VirtualClock;
use crate::executor::Spawner;
use crate::record::End;
use crate::script::ScriptedClient;
use crate::sharing::{Monitor, Sharing, Store};

/// The state of a running simulation.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) service: Service,
    pub(super) isolates: Vec<Rc<Pool>>,
    /// The number of isolates in each site.
    pub(super) site_size: usize,
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
            site: self.site(isolate),
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
            // A reply may take no time.
            at = self.clock.elapsed().saturating_add(client.pause).max(at + Duration::from_millis(1));
        }
    }

    /// Starts due probes of one isolate also while no request arrives, like the native server.
    pub(super) async fn probe_continuously(self: Rc<Self>, isolate: usize) {
        let Some(pool) = self.isolates.get(isolate).map(Rc::clone) else { return };
        let caller = Self::prober(&self, pool, self.site(isolate));
        keep_probing(&caller.pool, &caller, &caller.fleet.clock).await;
    }

    fn next_number(&self) -> usize {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        number
    }

    /// Starts the exchange of snapshots. `new_pool` returns a pool that receives no requests.
    pub(super) fn share(fleet: &Rc<Self>, sharing: Sharing, new_pool: impl Fn() -> Pool) {
        let new_store = || Rc::new(RefCell::new(Store::new(new_pool(), &sharing)));
        let sites = fleet.isolates.len().div_ceil(fleet.site_size);
        let stores: Vec<_> = (0..if sharing.is_per_site { sites } else { 1 }).map(|_| new_store()).collect();
        // In this order, a version has what the monitor and the isolates wrote at the same time.
        if let Some(monitor) = sharing.monitor {
            for store in &stores {
                fleet.spawner.spawn(Rc::clone(fleet).monitor(monitor, Rc::new(new_pool()), sharing, Rc::clone(store)));
            }
        }
        for isolate in 0..fleet.isolates.len() {
            let store = if sharing.is_per_site { stores.get(fleet.site(isolate)) } else { stores.first() };
            let Some(store) = store.map(Rc::clone) else { continue };
            fleet.spawner.spawn(Rc::clone(fleet).exchange(isolate, sharing, store));
        }
    }

    /// Exchanges snapshots of one isolate with a store. Isolates begin at different times.
    async fn exchange(self: Rc<Self>, isolate: usize, sharing: Sharing, store: Rc<RefCell<Store>>) {
        let Some(pool) = self.isolates.get(isolate) else { return };
        let share = f64::from(u32::try_from(isolate).unwrap_or_default()) / self.isolates.len() as f64;
        self.clock.sleep(sharing.period.mul_f64(share)).await;
        loop {
            self.clock.sleep(sharing.period).await;
            let now = self.clock.now();
            let mut store = store.borrow_mut();
            if sharing.has_reports {
                store.write(&pool.update(|state| state.export(&self.suffix(isolate))), now);
                store.publish(now);
            }
            if let Some(snapshot) = store.read(now) {
                pool.update(|state| state.merge(snapshot, now));
            }
        }
    }

    /// Probes all servers from one site, and writes the results to a store.
    async fn monitor(self: Rc<Self>, monitor: Monitor, pool: Rc<Pool>, sharing: Sharing, store: Rc<RefCell<Store>>) {
        const TICK: Duration = Duration::from_millis(250);

        let caller = Self::prober(&self, Rc::clone(&pool), monitor.site);
        loop {
            let now = self.clock.now();
            let is_running = monitor.runs.is_none_or(|(period, length)| {
                self.clock.elapsed().as_millis() % period.as_millis().max(1) < length.as_millis()
            });
            if is_running {
                caller.fleet.start_probes(&caller);
            }
            {
                let mut store = store.borrow_mut();
                store.write(&pool.update(|state| state.export("monitor")), now);
                store.publish(now);
                if sharing.has_reports
                    && let Some(snapshot) = store.read(now)
                {
                    pool.update(|state| state.merge(snapshot, now));
                }
            }
            self.clock.sleep(TICK).await;
        }
    }

    /// Returns the client of a process that only probes.
    fn prober(fleet: &Rc<Self>, pool: Rc<Pool>, site: usize) -> Caller {
        let progress = Rc::<Progress>::default();
        Caller { fleet: Rc::clone(fleet), pool, site, request: usize::MAX, is_prober: true, path: None, progress }
    }

    /// Returns the site of an isolate.
    const fn site(&self, isolate: usize) -> usize {
        isolate / self.site_size
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
        meta: RequestMeta,
    ) -> Forwarded<StatusCode> {
        match self.baselines.get(isolate) {
            Some(baseline) => baseline.forward(caller, &self.clock, &meta).await,
            None => forward(pool, caller, &self.clock, label.to_owned(), meta).await,
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
