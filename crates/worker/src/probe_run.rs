//! Probes without a request: those of the monitor and of cron triggers.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tunnel_balancer_core::{self as core, Clock, Services};
use tunnel_balancer_state::ProbeRun;

use crate::clock::JsClock;
use crate::fetch::{Fetch, Invocation};

/// Runs the probes that are due, as many as the invocation may.
pub(crate) async fn run(services: &Services, invocation: &Rc<Invocation>) {
    let next = || {
        if invocation.is_used_up() {
            return None;
        }
        ProbeRun::take_probe(services, JsClock.now())
    };
    let probe = || async {
        while let Some((pool, lease)) = next() {
            let client = Fetch::new(Arc::clone(pool), Rc::clone(invocation));
            core::run_probes(pool, &client, &JsClock, lease).await;
        }
    };
    let mut running: Vec<_> = (0..ProbeRun::MAX_CONNECTIONS).map(|_| Box::pin(probe())).collect();
    poll_fn(|context| {
        running.retain_mut(|probes| probes.as_mut().poll(context).is_pending());
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
