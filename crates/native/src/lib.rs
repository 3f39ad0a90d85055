//! Tunnel Balancer as a reverse proxy of its own: `tunnel-balancer-core` on hyper and tokio.
//!
//! For those who run a machine in front of their servers, and for testing a configuration before it
//! goes to the edge. What is decided is decided in the core, as in the Worker; this crate moves
//! bytes, keeps connections and defends itself against slow, greedy and vanishing clients, which at
//! the edge is Cloudflare's part.
//!
//! [`serve`] is the whole program. [`Proxy`] is one request's way through it, for a server that is
//! yours already.

#![forbid(unsafe_code)]

mod access;
mod body;
mod clock;
mod configuration;
mod connection_auth;
mod connections;
mod error;
mod listener;
mod log;
mod look;
mod options;
mod outgoing;
mod peer;
mod probes;
mod proxy;
mod seats;
mod serve;
mod tls;
mod tunnel;
mod upstream;

pub use body::ProxyBody;
pub use log::Log;
pub use look::{Look, Looker};
pub use options::{Limits, Options, TlsFiles};
pub use peer::{Peer, TrustedProxies};
pub use probes::Watch;
pub use proxy::Proxy;
pub use serve::{StartError, serve};
