//! tower's `Balance`: the better of two random servers, like the policies `least_requests` and
//! `latency`.
//!
//! It has no selection without a call. The benchmark measures a whole call of a service that is
//! always ready and responds at once: `poll_ready` (which selects), `call`, the response, and the
//! counting around it. The fair comparison is a whole exchange, not a selection.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use tower::{BoxError, Service};

use crate::Selector;
use crate::case::{Case, Policy};

/// Returns a selector for the policy of a case.
///
/// # Panics
/// If tower has no equivalent policy.
pub fn tower(case: Case) -> Selector {
    let services = 0..case.servers;
    let completion = CompleteOnResponse::default;
    match case.policy {
        Policy::LeastRequests => selector(services.map(|_| PendingRequests::new(AtOnce, completion())).collect()),
        Policy::Latency => {
            // It starts at 30 ms and decays to 1/e in 10 s, as that of this balancer.
            let ewma = |_| PeakEwma::new(AtOnce, Duration::from_millis(30), 10e9, completion());
            selector(services.map(ewma).collect())
        }
        policy => panic!("tower has no equivalent of {policy:?}"),
    }
}

fn selector<S>(services: Vec<S>) -> Selector
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
        now(black_box(balance.call(()))).is_some_and(|response| response.is_ok())
    })
}

/// Polls a future once. Returns its output if it is ready.
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
