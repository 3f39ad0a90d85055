//! Further HTTP/2 connections to a server that has more requests in flight than one connection
//! accepts.
//!
//! All HTTP/2 requests to a server share a connection, and the server limits its concurrent
//! streams. hyper's pool opens no second connection: further requests wait until a stream ends.
//! A hundred event streams are enough to make a probe wait until it times out. So requests are
//! counted, and every further hundred use another pool.
//!
//! Responses whose clients do not read them wait in memory, up to the flow-control window of the
//! pool. The first pool has a wide window, for a hundred requests in total. The others have a
//! narrow one.
//!
//! hyper's pool knows only after a TLS handshake that requests can share a connection. If many
//! arrive before, it opens one for each. So the others wait for the first one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The numbers of requests in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSlots(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    by_server: HashMap<Authority, Vec<PoolSlots>>,
    /// In the first pool.
    wide: usize,
}

/// The requests to one server in one pool.
#[derive(Debug, Default)]
struct PoolSlots {
    taken: usize,
    /// Canceled when the first request has a connection or has failed.
    connected: CancellationToken,
}

/// One request in a pool. Released on drop.
#[derive(Debug)]
pub struct StreamSlot {
    slots: StreamSlots,
    server: Authority,
    /// The index of the pool, from 0.
    pub(crate) pool: usize,
    connection: Connection,
}

/// The connection of a request.
#[derive(Debug)]
enum Connection {
    /// This request opens it.
    Opens(#[expect(dead_code, reason = "held for its drop")] DropGuard),
    /// Another one opens it.
    Waits(CancellationToken),
    Open,
}

impl StreamSlot {
    /// Waits until another request has opened the connection, at most for a second: a handshake may
    /// hang.
    pub(crate) async fn wait(&self) {
        if let Connection::Waits(connected) = &self.connection {
            let _ = tokio::time::timeout(Duration::from_secs(1), connected.cancelled()).await;
        }
    }

    /// Records that the request has a connection.
    pub(crate) fn on_connected(&mut self) {
        self.connection = Connection::Open;
    }
}

impl StreamSlots {
    /// The limit per pool and server. Servers should accept at least as many streams on a
    /// connection (RFC 9113, section 6.5.2).
    pub(crate) const STREAMS_PER_CONNECTION: usize = 100;

    /// Takes a slot in the first pool that has a free one.
    pub(crate) fn take(&self, server: &Authority) -> StreamSlot {
        let mut taken = self.taken();
        let first = usize::from(taken.wide >= Self::STREAMS_PER_CONNECTION);
        let pools = taken.by_server.entry(server.clone()).or_default();
        let is_free = |pool: &usize| pools.get(*pool).is_none_or(|slots| slots.taken < Self::STREAMS_PER_CONNECTION);
        let pool = (first..=pools.len()).find(is_free).unwrap_or(first);
        pools.resize_with(pools.len().max(pool + 1), PoolSlots::default);
        let slots = &mut pools[pool];
        slots.taken += 1;
        let connection = if slots.taken == 1 {
            slots.connected = CancellationToken::new();
            Connection::Opens(slots.connected.clone().drop_guard())
        } else {
            Connection::Waits(slots.connected.clone())
        };
        taken.wide += usize::from(pool == 0);
        StreamSlot { slots: self.clone(), server: server.clone(), pool, connection }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.wide -= usize::from(self.pool == 0);
        let Some(pools) = taken.by_server.get_mut(&self.server) else { return };
        if let Some(slots) = pools.get_mut(self.pool) {
            slots.taken -= 1;
        }
        if pools.iter().all(|slots| slots.taken == 0) {
            taken.by_server.remove(&self.server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pool_with_a_free_slot_is_used() {
        let slots = StreamSlots::default();
        let take = |server: &'static str| slots.take(&Authority::from_static(server));
        let mut taken: Vec<StreamSlot> = (0..250).map(|_| take("a.example")).collect();
        let pools: Vec<usize> = taken.iter().map(|slot| slot.pool).collect();
        assert_eq!(pools, [vec![0; 100], vec![1; 100], vec![2; 50]].concat());
        assert_eq!(take("b.example").pool, 1, "the wide window is for a hundred requests in total");
        drop(taken.remove(50));
        assert_eq!(take("b.example").pool, 0);
        assert_eq!(take("A.EXAMPLE").pool, 0, "the released slot");
        drop(taken);
        assert_eq!(slots.taken().wide, 0);
        assert!(slots.taken().by_server.is_empty(), "servers without requests are removed");
    }
}
