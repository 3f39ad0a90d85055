//! Which connection of HTTP/2 a request goes by, where a server gets more requests than one
//! connection takes.
//!
//! On HTTP/2 all requests to a server share a connection, and the server says how many it takes at
//! a time. hyper's pool opens no second one for the others: they wait, unseen, until one of those
//! before them has ended, and a probe that waits so has its server taken for dead. A hundred
//! streams of events are enough for that. So requests are counted, and every further hundred go by
//! a pool of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::uri::Authority;

/// How many requests to each server are under way, by pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats(Arc<Mutex<HashMap<Authority, Vec<usize>>>>);

/// A request's place in a pool, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    server: Authority,
    /// The pool, counted from 0.
    pub(crate) pool: usize,
}

impl Seats {
    /// In one pool, for one server. Servers should take no fewer on a connection (RFC 9113, section
    /// 6.5.2).
    pub(crate) const MOST: usize = 100;

    /// A place in the first pool that has one.
    pub(crate) fn take(&self, server: &Authority) -> Seat {
        let mut taken = self.taken();
        let pools = taken.entry(server.clone()).or_default();
        let pool = pools.iter().position(|taken| *taken < Self::MOST).unwrap_or(pools.len());
        match pools.get_mut(pool) {
            Some(taken) => *taken += 1,
            None => pools.push(1),
        }
        Seat { seats: self.clone(), server: server.clone(), pool }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Authority, Vec<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
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
    fn the_first_pool_with_room_is_taken() {
        let seats = Seats::default();
        let take = |server: &'static str| seats.take(&Authority::from_static(server));
        let mut taken: Vec<Seat> = (0..250).map(|_| take("a.example")).collect();
        let pools: Vec<usize> = taken.iter().map(|seat| seat.pool).collect();
        assert_eq!(pools, [vec![0; 100], vec![1; 100], vec![2; 50]].concat());
        assert_eq!(take("b.example").pool, 0, "each server for itself");
        drop(taken.remove(50));
        assert_eq!(take("A.EXAMPLE").pool, 0, "the place that was given back");
        drop(taken);
        assert!(seats.taken().is_empty(), "nothing is kept of servers that have no requests");
    }
}
