//! The script of 100 lines that Tunnel Balancer took the place of, to show what has changed.
//!
//! Its logic, with its defects: servers in order, and a map of their health in the isolate's
//! memory. When that is older than 30 s, the request that comes next probes all servers, one after
//! the other, and waits for it; so does every other that comes meanwhile. The first healthy server
//! is asked, or else the first. Only when `fetch` throws is another one asked, once; a body that
//! was sent is gone then, and whatever goes wrong there is an error of the Worker. A status is
//! passed on, 530 included.

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
    checked: Cell<Option<Timestamp>>,
}

/// How old what it knows may be.
const INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// It has no timeout for requests: Cloudflare's edge answers 524 after this long.
const EDGE_TIMEOUT: Duration = Duration::from_secs(100);
const EDGE_TIMED_OUT: u16 = 524;
/// What an exception that nobody catches looks like to a client: a 500 with the page "error 1101".
const UNCAUGHT: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

impl Baseline for Script {
    fn forward<'a>(
        &'a self,
        caller: &'a Caller,
        clock: &'a VirtualClock,
        info: &'a RequestMeta,
    ) -> Pin<Box<dyn Future<Output = Forwarded<StatusCode>> + 'a>> {
        Box::pin(async move {
            let is_old = |checked| clock.now().since(checked) > INTERVAL;
            if self.checked.get().is_none_or(is_old) {
                self.check(caller).await;
                self.checked.set(Some(clock.now()));
            }
            let servers = || caller.service().servers().iter().enumerate().filter(|(_, server)| server.enabled);
            let is_healthy = |(place, _): &(usize, &Server)| self.healthy.borrow().get(place) == Some(&true);
            let Some(first) = servers().find(is_healthy).or_else(|| servers().next()) else {
                return own(StatusCode::SERVICE_UNAVAILABLE, 0);
            };
            if let Some(answer) = fetch(caller, first, 1).await {
                return answer;
            }
            let Some(other) = servers().find(|(place, _)| *place != first.0) else {
                return own(StatusCode::SERVICE_UNAVAILABLE, 1);
            };
            if [Method::POST, Method::PUT, Method::PATCH].contains(&info.method) {
                return own(UNCAUGHT, 1);
            }
            fetch(caller, other, 2).await.unwrap_or_else(|| own(UNCAUGHT, 2))
        })
    }
}

impl Script {
    /// Probes all servers, one after the other.
    async fn check(&self, caller: &Caller) {
        for (place, server) in caller.service().servers().iter().enumerate().filter(|(_, server)| server.enabled) {
            let passed = match caller.probe(server, PROBE_TIMEOUT).await {
                Outcome::Status(status) => status.is_success() || status.is_redirection(),
                Outcome::Failed(_) => false,
            };
            self.healthy.borrow_mut().insert(place, passed);
        }
    }
}

/// A server's answer; `None` where `fetch` throws.
async fn fetch(caller: &Caller, (place, server): (usize, &Server), attempts: u32) -> Option<Forwarded<StatusCode>> {
    let status = match caller.send(server, EDGE_TIMEOUT).await {
        Outcome::Status(status) => status,
        Outcome::Failed(Failure::Timeout) => StatusCode::from_u16(EDGE_TIMED_OUT).ok()?,
        Outcome::Failed(_) => return None,
    };
    Some(Forwarded { response: Ok(status), served_by: ServerId::new(place), attempts, last_resort: false })
}

const fn own(status: StatusCode, attempts: u32) -> Forwarded<StatusCode> {
    Forwarded { response: Ok(status), served_by: None, attempts, last_resort: false }
}
