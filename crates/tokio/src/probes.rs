//! Probes beside requests.

use tokio::runtime::Handle;
use tunnel_balancer_core::{Clock as _, Lease, Pool};

use crate::clock::TokioClock;

/// Starts the probes that are due. Outside of a runtime, as when a request is dropped after its
/// runtime, none starts.
pub(crate) fn start<F>(pool: &Pool, clock: &TokioClock, run: impl Fn(Lease) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(lease) = pool.update(|state| state.next_probe(clock.now())) {
        let Ok(runtime) = Handle::try_current() else {
            return pool.update(|state| state.release_lease(lease));
        };
        runtime.spawn(run(lease));
    }
}
