//! Isolates and the requests that come to them, under way.
//!
//! A Worker runs in many places at a time, and what one of them has learnt the others do not know. So an isolate here is a
//! pool of its own with a seed of its own; a request comes to one of them by lot. They share nothing but the servers, unless
//! they are told to exchange snapshots.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use tunnel_balancer_core::{Clock, Forwarded, Pool, RequestMeta, Rng, Service, forward, run_probes};

use crate::arrivals::Arrivals;
use crate::caller::Caller;
use crate::clock::VirtualClock;
use crate::executor::Spawner;
use crate::record::End;
use crate::rival::Baseline;
use crate::script::ScriptedClient;

/// Everything that is there while a simulation runs.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) service: Service,
    pub(super) isolates: Vec<Rc<Pool>>,
    /// Those who answer in place of the pools; none: the engine does.
    pub(super) baselines: Vec<Box<dyn Baseline>>,
    pub(super) client: ScriptedClient,
    pub(super) clock: VirtualClock,
    pub(super) spawner: Spawner,
    /// How long clients wait.
    pub(super) patience: Option<Duration>,
    /// Decides which isolate a request comes to.
    pub(super) lots: RefCell<Rng>,
    /// Requests so far.
    pub(super) requests: Cell<usize>,
}

impl Fleet {
    /// Waits for a request's time and sees it through.
    pub(super) async fn request(self: Rc<Self>, number: usize, at: Duration, info: RequestMeta) {
        self.clock.sleep(at.saturating_sub(self.clock.elapsed())).await;
        let isolate = usize::try_from(self.lots.borrow_mut().below(self.isolates.len() as u64)).unwrap_or_default();
        let Some(pool) = self.isolates.get(isolate) else { return };
        let label = format!("{} #{number}{}", info.method, self.place(isolate));
        let request = {
            let mut trace = self.client.trace.borrow_mut();
            trace.tally.arrived(at);
            trace.record.arrived(self.clock.elapsed(), &info.method)
        };
        let caller = Caller { fleet: Rc::clone(&self), request };
        // As a Worker does: look for due probes when a request comes, and again when it may have made one due.
        self.probe(pool, &caller);
        let forwarded = self.forward(isolate, pool, &caller, &label, info);
        let forwarded = match self.patience {
            Some(patience) => self.within(patience, forwarded).await,
            None => Some(forwarded.await),
        };
        let (mut trace, now) = (self.client.trace.borrow_mut(), self.clock.now());
        let end = match forwarded {
            Some(forwarded) => trace.answered(now, &label, at, &forwarded, &self.service),
            None => {
                trace.gave_up(now, &label, at);
                End::GaveUp
            }
        };
        trace.record.ended(request, self.clock.elapsed(), end);
        drop(trace);
        self.probe(pool, &caller);
        self.changes(isolate, pool);
    }

    /// Lets requests come until there are no more.
    pub(super) async fn requests(self: Rc<Self>, mut arrivals: Arrivals, mut rng: Rng) {
        while let Some(at) = arrivals.next(&mut rng) {
            self.clock.sleep(at.saturating_sub(self.clock.elapsed())).await;
            let number = self.requests.get() + 1;
            self.requests.set(number);
            let mut info = arrivals.info.clone();
            if arrivals.strangers {
                info.key = rng.next_u64();
            }
            self.spawner.spawn(Rc::clone(&self).request(number, at, info));
        }
    }

    /// Lets all isolates know, every so often, the newest that any of them has found out. What they share is kept as they
    /// themselves keep it: in a pool's state, which no request comes to.
    pub(super) async fn share(self: Rc<Self>, every: Duration, shared: Pool) {
        loop {
            self.clock.sleep(every).await;
            let now = self.clock.now();
            for (isolate, pool) in self.isolates.iter().enumerate() {
                let known = pool.update(|state| state.export(&self.place(isolate)));
                shared.update(|state| state.merge(&known, now));
            }
            let newest = shared.update(|state| state.export("shared"));
            self.isolates.iter().for_each(|pool| pool.update(|state| state.merge(&newest, now)));
        }
    }

    /// Writes down what changed.
    pub(super) fn events(&self) {
        let mut trace = self.client.trace.borrow_mut();
        if !trace.is_quiet() {
            let isolates = self.isolates.iter().enumerate();
            isolates.for_each(|(isolate, pool)| trace.events(pool, isolate, &self.place(isolate)));
        }
    }

    /// Takes down what one isolate found out, where everything is recorded.
    pub(super) fn changes(&self, isolate: usize, pool: &Pool) {
        let mut trace = self.client.trace.borrow_mut();
        if trace.is_quiet() && trace.record.is_on() {
            trace.changes(pool, isolate);
        }
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
            Some(rival) => rival.forward(caller, &self.clock, &info).await,
            None => forward(pool, caller, &self.clock, label.to_owned(), info).await,
        }
    }

    /// Starts the probes that are due. Nobody waits for them.
    fn probe(self: &Rc<Self>, pool: &Rc<Pool>, caller: &Caller) {
        if !self.baselines.is_empty() {
            return;
        }
        while let Some(lease) = pool.update(|state| state.next_probe(self.clock.now())) {
            let (caller, pool) = (caller.clone(), Rc::clone(pool));
            self.spawner.spawn(async move { run_probes(&pool, &caller, &caller.fleet.clock, lease).await });
        }
    }

    /// What tells an isolate from others, where there are others.
    fn place(&self, isolate: usize) -> String {
        if self.isolates.len() == 1 { String::new() } else { format!("@{isolate}") }
    }

    /// What `future` brings, unless that takes longer than `limit`.
    pub(super) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let (mut future, mut end) = (pin!(future), pin!(self.clock.sleep(limit)));
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => end.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}
