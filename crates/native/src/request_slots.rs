//! The number of requests in flight: in total, and per client.
//!
//! Over HTTP/2 one connection carries many requests, each of which may need a connection to a
//! server. At the limit, further requests wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connections::Clients;

/// The slots of all requests in flight.
#[derive(Debug)]
pub(crate) struct RequestSlots {
    all: Arc<Semaphore>,
    /// The slots of each client: half of all, so that one client leaves some to the others.
    clients: Clients,
}

/// The slot of one request. Released on drop.
#[derive(Debug)]
pub(crate) struct RequestSlot(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>,
);

impl RequestSlots {
    /// Creates `total` slots.
    pub(crate) fn new(total: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(total)), clients: Clients::new(total.div_ceil(2)) }
    }

    /// Waits for a slot. `client` is the address that is limited to its share. `None` after
    /// `timeout`.
    pub(crate) async fn take(&self, client: Option<IpAddr>, timeout: Duration) -> Option<RequestSlot> {
        if let Some(slot) = self.try_take(client) {
            return Some(slot);
        }
        let slot = async {
            let share = match client {
                Some(client) => Some(self.clients.of(client).acquire_owned().await.ok()?),
                None => None,
            };
            let slot = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(RequestSlot(slot, share))
        };
        tokio::time::timeout(timeout, slot).await.ok()?
    }

    /// Takes a slot that is free. Usually there is one, and a request needs no timer.
    fn try_take(&self, client: Option<IpAddr>) -> Option<RequestSlot> {
        let share = match client {
            Some(client) => Some(self.clients.of(client).try_acquire_owned().ok()?),
            None => None,
        };
        let slot = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(RequestSlot(slot, share))
    }

    /// Returns whether no slot is free, so that further requests wait.
    pub(crate) fn are_taken(&self) -> bool {
        self.all.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_leaves_slots_to_others() {
        let slots = RequestSlots::new(8);
        let take = async |client: Option<&str>| {
            slots.take(client.map(|client| client.parse().unwrap()), Duration::from_millis(1)).await
        };
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(take(Some("192.0.2.1")).await.unwrap());
        }
        assert!(!slots.are_taken());
        assert!(take(Some("192.0.2.1")).await.is_none(), "more than its share");
        let other = take(Some("192.0.2.2")).await.unwrap();
        let unlimited = [take(None).await.unwrap(), take(None).await.unwrap(), take(None).await.unwrap()];
        assert!(slots.are_taken());
        assert!(take(None).await.is_none(), "more than all");
        drop((taken, other, unlimited));
        assert!(!slots.are_taken());
        assert!(take(Some("192.0.2.1")).await.is_some());
    }
}
