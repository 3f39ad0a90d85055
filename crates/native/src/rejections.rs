//! Connections and requests that never reach a service, counted for the log.
//!
//! Clients decide how many there are, so the log has at most one line per reason and second.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tunnel_balancer_core::Reason;

use crate::access::truncate;
use crate::log;

/// What was rejected since the last lines.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<Vec<Rejection>>);

/// The rejections for one reason.
#[derive(Debug)]
struct Rejection {
    reason: Reason,
    /// Their number.
    count: u64,
    /// The last client.
    client: IpAddr,
    /// The cause of the last one.
    detail: String,
}

impl Rejections {
    /// Counts a rejection.
    pub(crate) fn add(&self, reason: Reason, client: IpAddr, detail: &str) {
        let mut rejections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, detail) = (client.to_canonical(), truncate(detail).to_owned());
        match rejections.iter_mut().find(|rejection| rejection.reason == reason) {
            Some(last) => *last = Rejection { reason, count: last.count + 1, client, detail },
            None => rejections.push(Rejection { reason, count: 1, client, detail }),
        }
    }

    /// Emits a line for each reason since the last call.
    pub(crate) fn emit(&self) {
        let rejections = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for rejection in rejections {
            let client = rejection.client.to_string();
            log::connection_rejected(rejection.reason, &client, &rejection.detail, rejection.count);
        }
    }
}
