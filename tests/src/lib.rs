//! What the conformance suite and the demo are made of.
//!
//! A balancer shows what it is worth when a server hangs, resets or lies, and mocks hide exactly
//! that. So a case here talks over real sockets to a real target: [`FaultyServer`]s on loopback
//! stand behind it and can be broken in every way a tunnel breaks, a [`Client`] in front of it
//! sends exactly the bytes it is told to. A case sees nothing of the target but its address and its
//! log; another target can be added without touching a case.
//!
//! Nothing here sleeps to wait for something: cases wait for a count, a gate or a line of the log,
//! and every wait gives up after [`PATIENCE`], so that a hung case fails with a message instead of
//! blocking the suite.

pub mod bench;
pub mod client;
pub mod digest;
pub mod gate;
pub mod log;
pub mod peers;
pub mod proxy;
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
pub use server::{Answer, FaultyServer, Reply};
pub use target::{Host, Target};
pub use traffic::Traffic;
pub use yaml::Service;

use std::time::Duration;

/// How long a wait may take before it counts as a hang. Generous, because the machine may be busy;
/// no case measures it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, and panics with `what` was waited for when it takes longer than
/// [`PATIENCE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("gave up after {PATIENCE:?}, waiting for {what}"),
    }
}
