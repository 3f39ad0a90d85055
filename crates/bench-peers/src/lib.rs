//! The cost of a selection in this balancer, in pingora, in tower and in crates for hashing, and
//! the minimum cost.
//!
//! There are no published numbers, so all are measured in one run on one machine. Each module
//! creates the selector of one balancer, and `benches/pick.rs` measures them in the same loop. For
//! a fair comparison:
//!
//! * All have the same servers with the same weights, all healthy and none tried. No health checks
//!   run.
//! * Hash policies hash the address of a client, from the same list, a new one per selection.
//! * The results of pingora and tower are used directly. Ours is a server id. A host finds the
//!   server of an id, which is part of neither `pick` nor `locked`.
//! * pingora selects through `&self` from many threads. `locked` is the equivalent: a selection
//!   behind the lock of a [`Pool`], without contention, as on pingora's counter.
//!
//! [`Pool`]: tunnel_balancer_core::Pool

mod case;
mod clients;
mod floor;
mod hashes;
mod ours;
mod pingora;
mod tower;

pub use case::{Case, Policy, Weights};
pub use floor::Floor;
pub use hashes::HashCrate;
pub use ours::Ours;
pub use pingora::pingora;
pub use tower::tower;

/// A function that makes one selection per call. Returns whether a server was selected.
pub type Selector = Box<dyn FnMut() -> bool>;
