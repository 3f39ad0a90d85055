//! The subrequests of one request, and whether Cloudflare allows them (CFG-09).
//!
//! All attempts and probes happen only when servers fail, so a file that needs too many would fail
//! at the worst time.

use tunnel_balancer_core::Service;

use crate::diagnostic::Code;
use crate::report::Report;

/// The subrequests that a request may cause on Cloudflare's free plan.
pub const MAX_SUBREQUESTS: u32 = 50;

/// The most subrequests that one request to a service can cause.
///
/// Probes of servers whose responses are overdue are not counted: the Worker starts them only while
/// [`max_probes`](Self::max_probes) allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subrequests {
    /// Attempts to send the request.
    pub attempts: u32,
    /// Attempts beside one that waits on a stalled server.
    pub hedges: u32,
    /// Attempts while the request is held.
    pub held: u32,
    /// Probes that are due: one of each server, and one more of each that fails.
    pub probes: u32,
}

impl Subrequests {
    /// Adds up the subrequests of a service.
    pub fn of(service: &Service) -> Self {
        let servers = service.servers().iter().filter(|server| server.enabled).count();
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        let retry = &service.retry;
        let attempts = retry.attempts.min(servers);
        let hedges = u32::from(retry.hedge && retry.liveness_check_after.is_some() && attempts > 1);
        let probes = if service.health_check.is_some() { servers.saturating_add(attempts) } else { 0 };
        Self { attempts, hedges, held: retry.held_attempts(), probes }
    }

    /// Returns the sum.
    pub const fn total(&self) -> u32 {
        self.without_hold().saturating_add(self.held)
    }

    /// Returns the probes that a request of a Worker may start: those that leave enough subrequests
    /// for its attempts. Some always may, since without probes no server returns.
    pub fn max_probes(&self) -> u32 {
        const MIN: u32 = 10;
        let attempts = self.attempts.saturating_add(self.hedges).saturating_add(self.held);
        MAX_SUBREQUESTS.saturating_sub(attempts).max(MIN)
    }

    const fn without_hold(&self) -> u32 {
        self.attempts.saturating_add(self.hedges).saturating_add(self.probes)
    }
}

/// Checks whether Cloudflare allows what a request can cause.
///
/// Held attempts do not count here: where a request can make no more subrequests, it is not held
/// any longer.
pub(crate) fn check(service: &Service) -> Result<(), Report> {
    let work = Subrequests::of(service);
    if work.without_hold() <= MAX_SUBREQUESTS {
        return Ok(());
    }
    let Subrequests { attempts, hedges, probes, .. } = work;
    let hedges = if hedges > 0 { format!(", {hedges} hedge") } else { String::new() };
    let message = format!(
        "{attempts} attempts{hedges} and {probes} probes are {} subrequests, more than the {MAX_SUBREQUESTS} that a request \
         may cause",
        work.without_hold()
    );
    Err(Report::new(Code::InvalidServers, message).hint("use fewer servers or fewer `attempts`"))
}
