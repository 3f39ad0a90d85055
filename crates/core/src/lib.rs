//! Load-balancing decisions: server selection, health tracking and retries, without I/O.
//!
//! Time and the results of requests go in, decisions come out. So one engine runs in a Cloudflare
//! Worker, in a native proxy and in a test on a virtual clock, and behaves the same in each.
//!
//! There are three ways to use it:
//!
//! * Call [`forward()`] with an [`HttpClient`] and a [`Clock`] of your own: it sends a request to
//!   the servers of a [`Pool`] until one responds.
//! * Where the callbacks of a proxy own the I/O, use a [`Reservation`].
//! * Drive an [`Exchange`] in a loop of your own, which its module documents.
//!
//! The book of the crate has five chapters: [choose a server](guide::choose),
//! [watch the servers](guide::watch), [retry](guide::retry), [share what is known](guide::share),
//! and [simulate your own outage](guide::simulate).
//!
//! A whole embedding, with a client that stands in for a real one:
//!
//! ```
//! use std::time::Duration;
//! use http::{Method, StatusCode};
//! use tunnel_balancer_core::*;
//!
//! struct Client;
//! impl HttpClient for Client {
//!     type Request = String;             // yours: a hyper request, a JavaScript object, ...
//!     type Response = (StatusCode, String);
//!     type Error = Failure;
//!     async fn send(&self, path: &String, server: &Server, _: AttemptInfo) -> Result<Self::Response, Failure> {
//!         let status = if server.name == "a" { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
//!         Ok((status, server.url.target(path)))
//!     }
//!     async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Self::Response, Failure> {
//!         Ok((StatusCode::OK, probe.url))
//!     }
//!     fn start_probes(&self) {}          // spawn `run_probes` for each lease of `PoolState::next_probe`
//!     fn status(&self, response: &Self::Response) -> StatusCode { response.0 }
//!     fn header(&self, _: &Self::Response, _: &str) -> Option<String> { None }
//!     async fn read_prefix(&self, response: Self::Response, _: usize) -> Result<Vec<u8>, Failure> {
//!         Ok(response.1.into_bytes())
//!     }
//!     fn discard(&self, _: Self::Response) {}
//! }
//!
//! struct Stopped;
//! impl Clock for Stopped {
//!     fn now(&self) -> Timestamp { Timestamp::ZERO }
//!     fn unix_time(&self) -> Duration { Duration::ZERO }
//!     async fn sleep(&self, _: Duration) { std::future::pending().await }
//! }
//!
//! let pool = Pool::of(["a.example", "b.example"])?;
//! let meta = RequestMeta::new(Method::GET);
//! # fn block_on<F: std::future::Future>(future: F) -> F::Output {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::pin!(future).poll(&mut context) {
//! #         std::task::Poll::Ready(output) => output,
//! #         std::task::Poll::Pending => unreachable!(),
//! #     }
//! # }
//! let forwarded = block_on(forward(&pool, &Client, &Stopped, "/x".to_owned(), meta));
//! assert_eq!(forwarded.response, Ok((StatusCode::OK, "https://b.example/x".to_owned())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads a clock, an environment variable or a random source, starts a thread, or
//! panics. `ARCHITECTURE.md` lists the invariants and how they are enforced.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod attempt;
mod check;
mod classify;
mod client;
pub mod cookie;
mod drill;
pub mod exchange;
mod forward;
pub mod guide;
pub mod hash;
mod local_reply;
mod log;
mod pool;
mod proxy;
mod reservation;
mod retry;
mod rng;
mod select;
mod server_set;
mod service;
mod time;
mod trace;

pub use http;

pub use attempt::{Attempt, AttemptInfo, AttemptResult, Selection};
pub use classify::{Classification, Delivery, Failure, HealthImpact, Outcome, Ruling};
pub use client::{Clock, HttpClient, UpstreamError};
pub use drill::{Drill, DrillClient, DrillError, DrillKind};
pub use exchange::{Exchange, Finish, Step, Wait};
pub use forward::{Forwarded, forward, keep_probing, run_probes};
pub use local_reply::LocalReply;
pub use log::{FailedAttempt, LogEntry, LogEvent, LogLevel, Reason, escape_invisible};
pub use pool::{
    Cause, Counters, EjectionState, Event, FailureStatus, Health, KnowledgeSource, LatencyCounts, Lease, Minute,
    Percentiles, Pool, PoolState, PoolStatus, ProbeStatus, RequestCounters, ServerSnapshot, ServerStatus, ServiceState,
    Snapshot, Standing, Transition,
};
pub use proxy::{
    BufferPermit, LocalResponse, ProbeRequest, ProxiedRequest, ReplayBuffer, ReplyContext, RequestId, RouteMatch,
    Services, headers, host, parse_retry_after, rewrite,
};
pub use reservation::Reservation;
pub use retry::{Body, RequestMeta};
pub use rng::Rng;

pub use server_set::{ServerId, ServerSet};
pub use service::{
    Affinity, BudgetSettings, Conflict, EjectionSettings, Failback, HashOn, HealthCheck, HostHeader, Policy,
    ProbeError, ProbeKind, ProbeResponse, ProbeResult, RetrySettings, Server, ServerHeader, ServerHealthCheck,
    ServerTls, ServerUrl, ServerUrlError, Service, ServiceError, StatusRanges, Writes, domain_to_ascii, limits,
};
pub use time::Timestamp;
pub use trace::{Candidate, StopReason, Trace, TraceEvent, TraceStep, WaitReason};
