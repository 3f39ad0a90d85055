//! The exchanges of health with a Worker, for the status endpoint.

use std::sync::{Mutex, PoisonError};

use tunnel_balancer_core::Timestamp;
use tunnel_balancer_state::HealthSharing;
use tunnel_balancer_status::Sharing;

/// When the last exchange succeeded, and why a later one failed.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(Mutex<Option<Last>>);

/// `None` before the first exchange.
#[derive(Debug, Default)]
struct Last {
    succeeded_at: Option<Timestamp>,
    error: Option<String>,
}

impl Exchanges {
    /// Records the end of an exchange.
    pub(crate) fn record(&self, error: Option<String>, now: Timestamp) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.get_or_insert_default();
        if error.is_none() {
            last.succeeded_at = Some(now);
        }
        last.error = error;
    }

    /// Returns how health is shared with other processes.
    pub(crate) fn sharing(&self, now: Timestamp) -> Sharing {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Last { succeeded_at, error }) = &*last else {
            return Sharing { mode: "process", ..Sharing::default() };
        };
        let age = succeeded_at.map(|at| now.since(at));
        let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Sharing { mode: HealthSharing::Monitor.as_str(), age_ms, error: error.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_exchange_is_reported() {
        let (exchanges, at) = (Exchanges::default(), Timestamp::from_millis);
        assert_eq!(exchanges.sharing(at(0)), Sharing { mode: "process", ..Sharing::default() });
        let expected =
            |age_ms, error: Option<&str>| Sharing { mode: "monitor", age_ms, error: error.map(str::to_owned) };
        exchanges.record(Some("refused".to_owned()), at(1_000));
        assert_eq!(exchanges.sharing(at(2_000)), expected(None, Some("refused")));
        exchanges.record(None, at(3_000));
        assert_eq!(exchanges.sharing(at(4_000)), expected(Some(1_000), None));
        exchanges.record(Some("lost".to_owned()), at(5_000));
        assert_eq!(exchanges.sharing(at(6_000)), expected(Some(3_000), Some("lost")));
    }
}
