//! A discrete-event simulator: runs a scripted outage on a virtual clock and returns its trace.
//!
//! Many defects of a load balancer are defects in time, such as a late probe or an ejection that
//! never ends. Tests that wait for them in real time are slow and flaky. Here the clock jumps from
//! event to event. The servers and the clients are scripted. The engine is the real one, including
//! [`forward`](tunnel_balancer_core::forward()) and
//! [`run_probes`](tunnel_balancer_core::run_probes). Equal scripts and seeds produce traces that
//! are equal to the byte.
//!
//! ```
//! use std::time::Duration;
//! use tunnel_balancer_sim::{Behavior, Sim};
//! use tunnel_balancer_core::{Server, Service};
//!
//! let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let service = Service::new("app.example", servers.to_vec())?;
//! let mut sim = Sim::new(service, 1);
//! sim.server(Duration::ZERO, "a", Behavior::status(530));
//! sim.get(Duration::from_secs(1));
//! let trace = sim.run(Duration::from_secs(2));
//! assert_eq!(trace.responses[0].served_by.as_deref(), Some("b"));
//! # Ok::<(), tunnel_balancer_core::ServiceError>(())
//! ```
//!
//! # Fleets
//!
//! Other defects are visible only in statistics, such as the share of slow requests, or the cost of
//! isolates that share no state. [`Arrivals`] generates streams of requests for many [`isolates`].
//! Servers have random response times or process one request at a time ([`Behavior::serial`]).
//! Clients have a [timeout]. [`Trace::stats`] holds the results, and [`counts_only`] omits the
//! text.
//!
//! ```
//! # use std::time::Duration;
//! # use tunnel_balancer_sim::{Arrivals, Behavior, Sim};
//! # use tunnel_balancer_core::{Policy, Server, Service};
//! # let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
//! let mut service = Service::new("app.example", servers.to_vec())?;
//! service.policy = Policy::Latency;
//! let mut sim = Sim::new(service, 1);
//! sim.isolates(10).counts_only();
//! let usual = Behavior::status(200).after(Duration::from_millis(150)).normal(Duration::from_millis(5));
//! sim.server(Duration::ZERO, "a", usual);
//! sim.server(Duration::ZERO, "b", usual);
//! sim.server(Duration::from_secs(20), "b", Behavior::status(200).after(Duration::from_secs(2)));
//! sim.arrivals(Arrivals::poisson(50.0).until(Duration::from_secs(60)));
//! let stats = sim.run(Duration::from_secs(70)).stats;
//! assert_eq!(stats.total().failed, 0);
//! assert!(stats.served_within(Duration::from_secs(1)) > 0.95);
//! # Ok::<(), tunnel_balancer_core::ServiceError>(())
//! ```
//!
//! # Records and comparisons
//!
//! [`Sim::record`] enables a record of every request, attempt and probe with its times, for
//! diagrams. [`Sim::baselines`] replaces the engine with another balancer, for comparisons.
//!
//! [`isolates`]: Sim::isolates
//! [timeout]: Sim::client_timeout
//! [`counts_only`]: Sim::counts_only

mod arrivals;
mod baseline;
mod behavior;
mod caller;
mod client;
mod client_request;
mod clock;
mod executor;
mod fleet;
mod queue;
mod record;
mod script;
mod sharing;
mod sim;
mod stats;
mod trace;

pub use arrivals::Arrivals;
pub use baseline::Baseline;
pub use behavior::Behavior;
pub use caller::Caller;
pub use client::Client;
pub use client_request::ClientRequest;
pub use clock::VirtualClock;
pub use record::{Change, End, Record, RequestRecord, UpstreamRequest};
pub use sharing::Sharing;
pub use sim::Sim;
pub use stats::{Count, Stats};
pub use trace::{ClientResponse, Trace};
