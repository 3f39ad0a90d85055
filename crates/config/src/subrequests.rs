//! The subrequests of a request, compared with the limit of Cloudflare.
//!
//! All attempts and probes are made only while servers fail. So too many of them would go unnoticed
//! until then.

use tunnel_balancer_core::Service;

use crate::diagnostic::Code;
use crate::report::Report;

/// The largest number of subrequests of a request on Cloudflare's free plan.
pub const MAX_SUBREQUESTS: u32 = 50;

/// The largest numbers of subrequests that a request to a service can make.
///
/// Liveness probes are not counted: the Worker starts them within
/// [`max_probes`](Self::max_probes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subrequests {
    /// Attempts to send the request.
    pub attempts: u32,
    /// Hedges of attempts that wait for a stalled server.
    pub hedges: u32,
    /// Attempts while the request is held.
    pub held: u32,
    /// Due probes: one of each server, and one more of each that fails.
    pub probes: u32,
}

impl Subrequests {
    /// Computes the subrequests of a service.
    pub fn of(service: &Service) -> Self {
        let enabled = || service.all().iter().filter(|id| service.server(*id).is_some_and(|server| server.enabled));
        let count = |servers: usize| u32::try_from(servers).unwrap_or(u32::MAX);
        let servers = count(enabled().count());
        let probed = count(enabled().filter(|id| service.health_check_of(*id).is_some()).count());
        let retry = &service.retry;
        let attempts = retry.attempts.min(servers);
        let hedges = u32::from(retry.hedge && retry.liveness_check_after.is_some() && attempts > 1);
        let probes = probed.saturating_add(attempts.min(probed));
        Self { attempts, hedges, held: retry.held_attempts(), probes }
    }

    /// Returns the total.
    pub const fn total(&self) -> u32 {
        self.without_hold().saturating_add(self.held)
    }

    /// Returns the number of probes that a request of a Worker may start, which leaves enough
    /// subrequests for its attempts. It is at least 10, because without probes no server recovers.
    pub fn max_probes(&self) -> u32 {
        const MIN: u32 = 10;
        let attempts = self.attempts.saturating_add(self.hedges).saturating_add(self.held);
        MAX_SUBREQUESTS.saturating_sub(attempts).max(MIN)
    }

    const fn without_hold(&self) -> u32 {
        self.attempts.saturating_add(self.hedges).saturating_add(self.probes)
    }
}

/// Checks the subrequests of a service against the limit.
///
/// Held attempts are not counted: a request that reaches the limit is not held any longer.
pub(crate) fn check(service: &Service) -> Result<(), Report> {
    let subrequests = Subrequests::of(service);
    if subrequests.without_hold() <= MAX_SUBREQUESTS {
        return Ok(());
    }
    let Subrequests { attempts, hedges, probes, .. } = subrequests;
    let hedges = if hedges > 0 { format!(", {hedges} hedge") } else { String::new() };
    let message = format!(
        "{attempts} attempts{hedges} and {probes} probes are {} subrequests, more than the limit of {MAX_SUBREQUESTS} \
         per request",
        subrequests.without_hold()
    );
    Err(Report::new(Code::InvalidServers, message).hint("remove servers, or set `attempts` to a smaller number"))
}
