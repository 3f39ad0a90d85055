//! A Worker script with a list of servers and a health check, for comparison.
//!
//! It keeps the servers in order, and a map of their health in the memory of the isolate. When the
//! map is older than 30 s, the next request probes all servers one after the other and waits for
//! the results, as do all requests that arrive meanwhile. The request is sent to the first healthy
//! server, or else to the first one. Another server is tried once, and only if `fetch` throws. A
//! body that was sent cannot be sent again, and an error of the second attempt is an error of the
//! Worker. Every status is passed on, 530 included.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{Clock, Failure, Forwarded, Outcome, RequestMeta, Server, ServerId, Timestamp};
use tunnel_balancer_sim::{Baseline, Caller, VirtualClock};

/// The script in one isolate.
#[derive(Debug, Default)]
pub(super) struct Script {
    healthy: RefCell<BTreeMap<usize, bool>>,
    checked_at: Cell<Option<Timestamp>>,
}

/// The largest age of the map.
const INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The script has no timeout for requests: after this time Cloudflare's edge responds with 524.
const EDGE_TIMEOUT: Duration = Duration::from_secs(100);
const EDGE_TIMED_OUT: u16 = 524;
/// The response after an uncaught exception: a 500 with the page "error 1101".
const UNCAUGHT: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

impl Baseline for Script {
    fn forward<'a>(
        &'a self,
        caller: &'a Caller,
        clock: &'a VirtualClock,
        meta: &'a RequestMeta,
    ) -> Pin<Box<dyn Future<Output = Forwarded<StatusCode>> + 'a>> {
        Box::pin(async move {
            let is_old = |checked_at| clock.now().since(checked_at) > INTERVAL;
            if self.checked_at.get().is_none_or(is_old) {
                self.check(caller).await;
                self.checked_at.set(Some(clock.now()));
            }
            let servers = || caller.service().servers().iter().enumerate().filter(|(_, server)| server.enabled);
            let is_healthy = |(index, _): &(usize, &Server)| self.healthy.borrow().get(index) == Some(&true);
            let Some(first) = servers().find(is_healthy).or_else(|| servers().next()) else {
                return local(StatusCode::SERVICE_UNAVAILABLE, 0);
            };
            if let Some(response) = fetch(caller, first, 1).await {
                return response;
            }
            let Some(other) = servers().find(|(index, _)| *index != first.0) else {
                return local(StatusCode::SERVICE_UNAVAILABLE, 1);
            };
            if [Method::POST, Method::PUT, Method::PATCH].contains(&meta.method) {
                return local(UNCAUGHT, 1);
            }
            fetch(caller, other, 2).await.unwrap_or_else(|| local(UNCAUGHT, 2))
        })
    }
}

impl Script {
    /// Probes all servers, one after the other.
    async fn check(&self, caller: &Caller) {
        for (index, server) in caller.service().servers().iter().enumerate().filter(|(_, server)| server.enabled) {
            let passed = match caller.probe(server, PROBE_TIMEOUT).await {
                Outcome::Status(status) => status.is_success() || status.is_redirection(),
                Outcome::Failed(_) => false,
            };
            self.healthy.borrow_mut().insert(index, passed);
        }
    }
}

/// Returns the response of a server, or `None` if `fetch` throws.
async fn fetch(caller: &Caller, (index, server): (usize, &Server), attempts: u32) -> Option<Forwarded<StatusCode>> {
    let status = match caller.send(server, EDGE_TIMEOUT).await {
        Outcome::Status(status) => status,
        Outcome::Failed(Failure::Timeout) => StatusCode::from_u16(EDGE_TIMED_OUT).ok()?,
        Outcome::Failed(_) => return None,
    };
    let mut forwarded = local(status, attempts);
    forwarded.served_by = ServerId::new(index);
    Some(forwarded)
}

fn local(status: StatusCode, attempts: u32) -> Forwarded<StatusCode> {
    let mut forwarded = Forwarded::new(Ok(status));
    forwarded.attempts = attempts;
    forwarded
}
