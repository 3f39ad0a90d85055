//! Published crates for consistent hashing. They select by a hash alone, without health.

use std::fmt;
use std::hint::black_box;

use hashring::HashRing;
use jumphash::JumpHasher;
use maglev::{ConsistentHasher, Maglev};
use rendezvous_hash::{DefaultNodeHasher, RendezvousNodes};

use crate::Selector;
use crate::clients::Clients;

/// A crate, and a number of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCrate {
    name: &'static str,
    servers: usize,
}

impl HashCrate {
    /// Returns all crates with all numbers of servers.
    pub fn all() -> Vec<Self> {
        let of_crate = |name| [3, 8, 64].map(|servers| Self { name, servers });
        ["hashring", "jumphash", "maglev", "rendezvous_hash"].into_iter().flat_map(of_crate).collect()
    }

    /// Returns a selector of a server for the address of a client.
    pub fn selector(self) -> Selector {
        let servers: Vec<String> = (0..self.servers).map(|index| format!("chat-{index}.example")).collect();
        let mut clients = Clients::new();
        match self.name {
            "hashring" => {
                let mut ring = HashRing::new();
                ring.batch_add(servers);
                Box::new(move || black_box(ring.get(&clients.next())).is_some())
            }
            "jumphash" => {
                let (hasher, count) = (JumpHasher::new(), black_box(self.servers as u32));
                Box::new(move || black_box(hasher.slot(&clients.next(), count)) < count)
            }
            "maglev" => {
                let table = Maglev::new(servers);
                Box::new(move || black_box(table.get(clients.next())).is_some())
            }
            _ => {
                // A node must be a `&str` that lives as long as the benchmark.
                let mut nodes = RendezvousNodes::<&str, DefaultNodeHasher>::default();
                for server in servers {
                    nodes.insert(server.leak());
                }
                Box::new(move || black_box(nodes.calc_candidates(&clients.next()).next()).is_some())
            }
        }
    }
}

/// Formats the case as `cargo xtask bench` reads it, such as `maglev:hash_text/even/8`.
impl fmt::Display for HashCrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:hash_text/even/{}", self.name, self.servers)
    }
}
