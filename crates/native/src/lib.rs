//! Tunnel Balancer as a reverse proxy: `tunnel-balancer-core` on hyper and tokio.
//!
//! It runs on a machine in front of the servers, or tests a configuration before it is deployed to
//! the edge. All decisions are made by the core, as in the Worker. This crate transfers bytes,
//! pools connections and enforces limits on clients, which Cloudflare does at the edge.
//!
//! [`serve`] is the whole program. [`Proxy`] handles single requests, for use in another server.

#![forbid(unsafe_code)]

mod access;
mod body;
mod clock;
mod config_diff;
mod config_file;
mod connection;
mod connection_auth;
mod connections;
mod descriptors;
mod error;
mod h2_streams;
mod health_checker;
mod listener;
mod log;
mod options;
mod peer;
mod probe_report;
mod proxy;
mod redirect;
mod rejections;
mod request_body;
mod request_slots;
mod serve;
mod server_tls;
mod settled;
mod tls;
mod transport;
mod unread;
mod upgrade;
mod upstream;
mod upstream_request;

pub use body::ProxyBody;
pub use health_checker::HealthChecker;
pub use log::{LogFormat, LogLayer, LogWriter, TARGET};
pub use options::{Limits, Listen, Options, Protocol, TlsFiles};
pub use peer::{Peer, TrustedProxies};
pub use probe_report::{ProbeReport, ProbeRunner};
pub use proxy::Proxy;
pub use serve::{StartError, serve};
