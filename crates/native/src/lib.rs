//! Tunnel Balancer as a reverse proxy: `tunnel-balancer-core` on hyper and tokio.
//!
//! It runs on a machine in front of the servers, or tests a configuration before it is deployed to
//! the edge. All decisions are made by the core, as in the Worker. This crate transfers bytes,
//! pools connections and enforces limits on clients, which Cloudflare does at the edge.
//!
//! [`serve`] is the whole program. [`Proxy`] handles single requests, for use in another server.

#![forbid(unsafe_code)]

mod access;
mod api_client;
mod body;
mod config_diff;
mod config_file;
mod connection;
mod connections;
mod control;
mod descriptors;
mod exchanges;
mod forward;
mod health_checker;
mod listener;
mod log;
mod monitor;
mod notifier;
mod options;
mod peer;
mod probe_report;
mod proxy;
mod redirect;
mod rejections;
mod request_slots;
mod serve;
mod settled;
mod shared_health;
mod signals;
mod status_endpoint;
mod tls;
mod transitions;
mod unread;
mod upgrade;
mod upstream;

pub use api_client::{ApiResponse, call_api};
pub use body::ProxyBody;
pub use health_checker::HealthChecker;
pub use log::{LogFormat, LogLayer, LogWriter, TARGET};
pub use monitor::{MonitorOptions, monitor, monitor_once};
pub use options::{Admin, Limits, Listen, Options, Protocol, TlsFiles};
pub use peer::{Peer, TrustedProxies};
pub use probe_report::{ProbeReport, ProbeRunner};
pub use proxy::Proxy;
pub use serve::{StartError, serve};
pub use shared_health::{KvNamespace, KvTarget, PushTarget, PushUrl};
pub use tunnel_balancer_state::control::{Token, TokenError};
pub use tunnel_balancer_tokio::host::certificate_error;
