//! The minimum cost: algorithms without health, limits, retries or a clock.

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use tunnel_balancer_core::hash;

use crate::Selector;
use crate::clients::Clients;

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// No work: the cost of the measurement.
    Nothing,
    /// A counter modulo 8.
    Counter,
    /// Rendezvous hashing of a number over 8 servers.
    Rendezvous,
}

impl Floor {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Counter, Self::Rendezvous];
    const SERVERS: usize = 8;

    /// Returns a selector.
    pub fn selector(self) -> Selector {
        match self {
            Self::Nothing => Box::new(|| black_box(true)),
            Self::Counter => {
                let turn = AtomicUsize::new(0);
                let servers = black_box(Self::SERVERS);
                Box::new(move || black_box(turn.fetch_add(1, Ordering::Relaxed) % servers) < servers)
            }
            Self::Rendezvous => {
                let mut clients = Clients::new();
                let keys: Vec<u64> = (0..Clients::COUNT).map(|_| hash::key(clients.next().as_bytes())).collect();
                let servers: Vec<u64> = (0..Self::SERVERS).map(|n| hash::key(format!("chat-{n}").as_bytes())).collect();
                let mut next = 0;
                Box::new(move || {
                    next = (next + 1) % keys.len();
                    let key = keys[next];
                    black_box(servers.iter().enumerate().max_by_key(|(_, server)| mix(key ^ **server))).is_some()
                })
            }
        }
    }
}

/// Returns the finalizer of `splitmix64`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing/even/8",
            Self::Counter => "round_robin/even/8",
            Self::Rendezvous => "hash/even/8",
        })
    }
}
