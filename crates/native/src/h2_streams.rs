//! Further HTTP/2 connections to a server that has more requests in flight than one connection
//! accepts.
//!
//! All HTTP/2 requests to a server share a connection, and the server limits its concurrent
//! streams. hyper's pool opens no second connection: further requests wait until a stream ends.
//! A hundred event streams are enough to make a probe wait until it times out. So requests are
//! counted, and every further hundred use another pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::uri::Authority;

/// The numbers of requests in flight, by server and pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSlots(Arc<Mutex<HashMap<Authority, Vec<usize>>>>);

/// One request in a pool. Released on drop.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    slots: StreamSlots,
    server: Authority,
    /// The index of the pool, from 0.
    pub(crate) pool: usize,
}

impl StreamSlots {
    /// The limit per pool and server. Servers should accept at least as many streams on a
    /// connection (RFC 9113, section 6.5.2).
    pub(crate) const STREAMS_PER_CONNECTION: usize = 100;

    /// Takes a slot in the first pool that has a free one.
    pub(crate) fn take(&self, server: &Authority) -> StreamSlot {
        let mut taken = self.taken();
        let pools = taken.entry(server.clone()).or_default();
        let pool = pools.iter().position(|taken| *taken < Self::STREAMS_PER_CONNECTION).unwrap_or(pools.len());
        match pools.get_mut(pool) {
            Some(taken) => *taken += 1,
            None => pools.push(1),
        }
        StreamSlot { slots: self.clone(), server: server.clone(), pool }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Authority, Vec<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        let Some(pools) = taken.get_mut(&self.server) else { return };
        if let Some(taken) = pools.get_mut(self.pool) {
            *taken -= 1;
        }
        if pools.iter().all(|taken| *taken == 0) {
            taken.remove(&self.server);
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
        assert_eq!(take("b.example").pool, 0, "servers are counted separately");
        drop(taken.remove(50));
        assert_eq!(take("A.EXAMPLE").pool, 0, "the released slot");
        drop(taken);
        assert!(slots.taken().is_empty(), "servers without requests are removed");
    }
}
