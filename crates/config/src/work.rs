//! How much one request can cause, and whether the platform allows that (CFG-09).
//!
//! Whoever asks for more would find out on the worst day: only when servers fail do all attempts and probes happen.

use std::time::Duration;

use tunnel_balancer_core::Service;

use crate::diagnostic::Code;
use crate::problem::Problem;

/// The subrequests that a request may cause on Cloudflare's free plan.
pub const MAX_SUBREQUESTS: u32 = 50;

/// What a single request to a service causes on its worst day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Times it is sent.
    pub attempts: u32,
    /// Times it is sent to a second server while a stalled one has it.
    pub hedges: u32,
    /// Probes that are due: one of each server, and one more of each that fails.
    pub probes: u32,
    /// Probes of servers whose answers are overdue.
    pub liveness_probes: u32,
}

impl Work {
    /// Adds it up.
    pub fn of(service: &Service) -> Self {
        let servers = service.servers().iter().filter(|server| server.enabled).count();
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        let retry = &service.retry;
        let attempts = retry.attempts.min(servers);
        let hedges = u32::from(retry.hedge && retry.liveness_check_after.is_some() && servers > 1);
        let is_probed = service.health_check.is_some();
        let probes = if is_probed { servers.saturating_add(attempts.min(servers)) } else { 0 };
        let liveness_probes = retry.liveness_check_after.filter(|_| is_probed).map_or(0, |interval| {
            // The last attempt has no other server to go to, so its server is not probed.
            let can_leave = attempts.saturating_sub(1);
            liveness_probes(can_leave, interval, retry.timeout, retry.per_try_timeout.unwrap_or(retry.timeout))
        });
        Self { attempts, hedges, probes, liveness_probes }
    }

    /// All subrequests.
    pub const fn total(&self) -> u32 {
        self.attempts + self.hedges + self.probes + self.liveness_probes
    }
}

/// Whether the platform allows what a request may cause.
pub(crate) fn check(service: &Service) -> Result<(), Problem> {
    let work = Work::of(service);
    if work.total() <= MAX_SUBREQUESTS {
        return Ok(());
    }
    let Work { attempts, hedges, probes, liveness_probes } = work;
    let hedges = if hedges > 0 { format!(", {hedges} hedge") } else { String::new() };
    let message = format!(
        "{attempts} attempts{hedges}, {probes} probes and {liveness_probes} probes of slow servers are {} subrequests, \
         more than the {MAX_SUBREQUESTS} that a request may cause",
        work.total()
    );
    Err(Problem::new(Code::Servers, message)
        .hint("use fewer servers or `attempts`, a longer `liveness_check_after` or a shorter `timeout`"))
}

/// The most probes of overdue answers when `attempts` share `timeout`. A probe is due after
/// `interval`, and again after twice, four times that and so on, so the most come from all attempts
/// going on equally long.
fn liveness_probes(attempts: u32, interval: Duration, timeout: Duration, per_try_timeout: Duration) -> u32 {
    let (mut left, mut pause, mut reached, mut total) = (timeout, interval, interval, 0);
    while !pause.is_zero() && reached <= per_try_timeout {
        let affordable = u32::try_from(left.as_millis() / pause.as_millis().max(1)).unwrap_or(u32::MAX);
        let probed = attempts.min(affordable);
        total += probed;
        if probed < attempts || attempts == 0 {
            break;
        }
        left = left.saturating_sub(pause.saturating_mul(attempts));
        pause = pause.saturating_mul(2);
        reached = reached.saturating_add(pause);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liveness_probes_are_counted_at_their_worst() {
        let table = [
            ("no attempt can leave", 0, 3_000, 100_000, 100_000, 0),
            ("at 3, 9, 21, 45 and 93 s", 1, 3_000, 100_000, 100_000, 5),
            ("two until 45 s, and none has 48 s more", 2, 3_000, 100_000, 100_000, 8),
            ("cut after the first", 2, 3_000, 100_000, 5_000, 2),
            ("cut before", 2, 3_000, 100_000, 2_000, 0),
            ("only two of them have the time", 9, 3_000, 8_000, 8_000, 2),
            ("the most that can be written", 9, 100, 3_600_000, 3_600_000, 107),
        ];
        for (case, attempts, interval, timeout, per_try_timeout, expected) in table {
            let [interval, timeout, per_try_timeout] = [interval, timeout, per_try_timeout].map(Duration::from_millis);
            assert_eq!(liveness_probes(attempts, interval, timeout, per_try_timeout), expected, "{case}");
        }
    }
}
