//! The test kit of the conformance suite and of the demo.
//!
//! Mocks hide hung connections, resets and malformed responses, so cases use real sockets. Behind
//! the target are [`FaultyServer`]s on loopback, which fail in every way in which a tunnel fails.
//! In front of it is a [`Client`], which sends exact bytes. A case depends only on the address and
//! the log of the target, so a target can be added without changing a case.
//!
//! No case sleeps until an event: it waits for a count, a gate or a line of the log. Every wait
//! ends after [`TIMEOUT`], so that a hung case fails with a message instead of blocking the suite.

pub mod bench;
pub mod client;
pub mod digest;
pub mod gate;
pub mod log;
pub mod miniflare;
pub mod peers;
pub mod proxy;
pub mod receiver;
pub mod server;
pub mod steady;
pub mod target;
pub mod traffic;
pub mod websocket;
pub mod wire;
pub mod workerd;
pub mod yaml;

pub use bench::{App, Bench};
pub use client::{Client, Request, Response};
pub use digest::Digest;
pub use gate::Gate;
pub use server::{Action, FaultyServer, Reply};
pub use target::{CONTROL_TOKEN, Host, Target};
pub use traffic::Traffic;
pub use yaml::Service;

use std::env;
use std::time::Duration;

/// The longest time of a wait before it counts as hung. It is long, because the machine may be
/// busy.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns whether `TUNNEL_BALANCER_FULL` is set: long cases are then longer, and some have more
/// checks, which need a machine without other work.
pub fn is_full() -> bool {
    env::var_os("TUNNEL_BALANCER_FULL").is_some()
}

/// Waits for `future`. Panics with `what` it waited for if this takes longer than [`TIMEOUT`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out after {TIMEOUT:?}, waiting for {what}"),
    }
}
