//! The loop that turns decisions into requests: the only async code of the crate.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::attempt::{Attempt, AttemptResult};
use crate::classify::{Failure, HealthImpact, Outcome};
use crate::client::{Clock, HttpClient, UpstreamError};
use crate::exchange::{Exchange, Finish, Step, Wait};
use crate::local_reply::LocalReply;
use crate::pool::Pool;
use crate::pool::probe_schedule::Lease;
use crate::retry::RequestMeta;
use crate::server::Server;
use crate::server_set::ServerId;
use crate::service::ProbeResult;

/// What came of a request.
#[derive(Debug)]
pub struct Forwarded<R> {
    /// The response to pass on, or what to answer instead.
    pub answer: Result<R, LocalReply>,
    /// The server whose response it is.
    pub served_by: Option<ServerId>,
    /// How many servers were asked.
    pub attempts: u32,
    /// Whether the server was not thought usable and was asked for want of a better one.
    pub fallback: bool,
}

/// Sends a request to the pool's servers until one answers or there is nothing left to try.
///
/// Dropping the future, as when the client goes away, ends it at once and blames no server.
pub async fn forward<C: HttpClient, K: Clock>(
    pool: &Pool,
    client: &C,
    clock: &K,
    mut request: C::Request,
    info: RequestMeta,
) -> Forwarded<C::Response> {
    let mut exchange = pool.update(|state| Exchange::new(info, state, clock.now()));
    let mut last = None;
    let finish = loop {
        let plan = match pool.update(|state| exchange.next(state, clock.now())) {
            Step::Attempt(plan) => plan,
            Step::Backoff(pause) => {
                clock.sleep(pause).await;
                continue;
            }
            Step::Finish(finish) => break finish,
        };
        let Some(server) = pool.service().server(plan.server) else {
            break Finish::LocalReply(LocalReply::unavailable(Duration::ZERO));
        };
        if let Some((_, unused)) = last.take() {
            client.discard(unused);
        }
        let sent = attempt(pool, client, clock, &mut request, server, &plan, &mut exchange).await;
        let ended = match &sent {
            Ok(response) => {
                let outcome = Outcome::Status(client.status(response));
                let failed = pool.service().retry.classify(outcome).impact != HealthImpact::Success;
                AttemptResult { outcome, retry_after: failed.then(|| client.retry_after(response)).flatten() }
            }
            Err(failure) => Outcome::Failed(*failure).into(),
        };
        last = sent.ok().map(|response| (plan.server, response));
        pool.update(|state| exchange.on_outcome(state, &plan, ended, clock.now()));
    };
    let (served_by, answer) = match (finish, last) {
        (Finish::Response, Some((server, response))) => (Some(server), Ok(response)),
        (Finish::Response, None) => (None, Err(LocalReply::unavailable(Duration::ZERO))),
        (Finish::LocalReply(problem), unused) => {
            unused.into_iter().for_each(|(_, unused)| client.discard(unused));
            (None, Err(problem))
        }
    };
    Forwarded { answer, served_by, attempts: exchange.attempts(), fallback: exchange.is_fallback() }
}

/// Runs the probe of `lease`, and after it others of the same pool that are due, each server's once at most.
///
/// A host takes leases from [`PoolState::next_probe`](crate::PoolState::next_probe) until there are none and runs this for
/// each, beside its requests and never before them.
pub async fn run_probes<C: HttpClient, K: Clock>(pool: &Pool, client: &C, clock: &K, lease: Lease) {
    let began = lease.started();
    let mut next = Some(lease);
    while let Some(lease) = next.take() {
        let result = probe(pool, client, clock, lease.server()).await;
        next = pool.update(|state| {
            state.on_probe(lease, &result, clock.now());
            state.probe_after(began, clock.now())
        });
    }
}

/// Sends the request to one server and waits as long as the exchange says.
async fn attempt<C: HttpClient, K: Clock>(
    pool: &Pool,
    client: &C,
    clock: &K,
    request: &mut C::Request,
    server: &Server,
    plan: &Attempt,
    exchange: &mut Exchange,
) -> Result<C::Response, Failure> {
    let mut under_way = UnderWay { pool, clock, plan, lease: None, over: false };
    let mut sent = pin!(client.send(request, server, plan));
    loop {
        let first = match pool.update(|state| exchange.wait(state, plan, clock.now())) {
            Wait::Sleep(time) => first_of(sent.as_mut(), pin!(clock.sleep(time))).await,
            Wait::Probe { lease, at_most } => {
                under_way.lease = Some(lease);
                let look = pin!(probe(pool, client, clock, plan.server));
                let end = pin!(clock.sleep(at_most));
                let look = pin!(first_of(look, end));
                let first = first_of(sent.as_mut(), look).await;
                under_way.on_probe(match &first {
                    First::Right(First::Left(result)) => Some(result),
                    _ => None,
                });
                first.map_right(|_| ())
            }
            Wait::GiveUp(failure) => {
                under_way.over = true;
                return Err(failure);
            }
        };
        if let First::Left(response) = first {
            under_way.over = true;
            return response.map_err(|error| error.failure());
        }
    }
}

/// An attempt until it is over, or until the future that waits for it is dropped: then nothing may stay taken.
struct UnderWay<'a, K: Clock> {
    pool: &'a Pool,
    clock: &'a K,
    plan: &'a Attempt,
    /// That of a probe which runs beside the attempt.
    lease: Option<Lease>,
    over: bool,
}

impl<K: Clock> UnderWay<'_, K> {
    fn on_probe(&mut self, result: Option<&ProbeResult>) {
        let Some(lease) = self.lease.take() else { return };
        self.pool.update(|state| match result {
            Some(result) => state.on_probe(lease, result, self.clock.now()),
            None => state.release_lease(lease),
        });
    }
}

impl<K: Clock> Drop for UnderWay<'_, K> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.pool.update(|state| state.release_lease(lease));
        }
        if !self.over {
            self.pool.update(|state| state.on_attempt_canceled(self.plan, self.clock.now()));
        }
    }
}

/// Probes one server; no answer in time is a result, too.
async fn probe<C: HttpClient, K: Clock>(pool: &Pool, client: &C, clock: &K, id: ServerId) -> ProbeResult {
    let service = pool.service();
    let (Some(check), Some(server)) = (&service.health_check, service.server(id)) else {
        return Err(Failure::ConnectionLost);
    };
    match first_of(pin!(client.probe(server, check)), pin!(clock.sleep(check.timeout))).await {
        First::Left(result) => result,
        First::Right(()) => Err(Failure::Timeout),
    }
}

/// The output of whichever future ended first.
enum First<L, R> {
    Left(L),
    Right(R),
}

impl<L, R> First<L, R> {
    fn map_right<T>(self, f: impl FnOnce(R) -> T) -> First<L, T> {
        match self {
            Self::Left(left) => First::Left(left),
            Self::Right(right) => First::Right(f(right)),
        }
    }
}

/// Waits for one of two futures; the left one wins a tie.
async fn first_of<L: Future, R: Future>(mut left: Pin<&mut L>, mut right: Pin<&mut R>) -> First<L::Output, R::Output> {
    poll_fn(|context| match left.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(First::Left(output)),
        Poll::Pending => right.as_mut().poll(context).map(First::Right),
    })
    .await
}
