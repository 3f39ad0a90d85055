//! tower's `Balance`: the better of two drawn by lot, like our `least_requests` and `latency`.
//!
//! It has no choice without a call. What is measured is a whole call of a service that is always
//! ready and answers at once: `poll_ready` (where the choice is made), `call`, the answer, and the
//! counting around it. So the fair comparison is with our whole exchange, not with our choice
//! alone.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use tower::{BoxError, Service};

use crate::Chooser;
use crate::case::{Case, Policy};

/// The like of a case's policy.
///
/// # Panics
/// For a policy that tower has not.
pub fn tower(case: Case) -> Chooser {
    let services = 0..case.servers;
    let completion = CompleteOnResponse::default;
    match case.policy {
        Policy::LeastRequests => chooser(services.map(|_| PendingRequests::new(AtOnce, completion())).collect()),
        Policy::Latency => {
            // Start at 30 ms; fade by 1/e in 10 s, as ours does.
            let ewma = |_| PeakEwma::new(AtOnce, Duration::from_millis(30), 10e9, completion());
            chooser(services.map(ewma).collect())
        }
        policy => panic!("tower has nothing like {policy:?}"),
    }
}

fn chooser<S>(services: Vec<S>) -> Chooser
where
    S: Service<(), Error = BoxError> + Load + 'static,
    S::Metric: std::fmt::Debug,
{
    let mut balance = Balance::new(ServiceList::new::<()>(services));
    Box::new(move || {
        let mut context = Context::from_waker(Waker::noop());
        if !matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))) {
            return false;
        }
        now(black_box(balance.call(()))).is_some_and(|answer| answer.is_ok())
    })
}

/// What a future answers that needs no waiting.
pub(crate) fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

struct AtOnce;

impl Service<()> for AtOnce {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}
