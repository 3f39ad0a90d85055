//! What choosing a server costs, side by side: ours, pingora's, tower's, and the least that it
//! could cost.
//!
//! Nobody publishes numbers for this, so they are measured here, all in one run on one machine.
//! Each module makes one contestant ready to choose, and `benches/pick.rs` measures them all by the
//! same loop. To be fair:
//!
//! * All have the same servers with the same weights, all healthy and none tried. Nobody's health
//!   checks run.
//! * Who hashes, hashes a client's address, from the same list, a new one for each choice.
//! * pingora's and tower's answers are used as they come. Ours is a number; a host looks the server
//!   up by it, which is part of neither `pick` nor `locked`.
//! * pingora chooses through `&self` from many threads. The like of that is `locked`: ours behind
//!   [`Pool`]'s lock, which nobody else holds here, as nobody writes to pingora's counter either.
//!
//! [`Pool`]: tunnel_balancer_core::Pool

mod case;
mod clients;
mod floor;
mod ours;
mod pingora;
mod tower;

pub use case::{Case, Policy, Weights};
pub use floor::Floor;
pub use ours::Ours;
pub use pingora::pingora;
pub use tower::tower;

/// A contestant, ready: each call is one choice, and answers whether there was one.
pub type Chooser = Box<dyn FnMut() -> bool>;
