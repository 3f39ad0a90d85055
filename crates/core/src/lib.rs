//! The deciding part of a load balancer: chooses, watches and retries servers, with no I/O, clock or runtime in it.
//!
//! Time and the outcome of requests go in, decisions come out. That is why one engine runs in a Cloudflare Worker, in a
//! native proxy and in a test on a virtual clock, and does the same in each.
//!
//! There are two ways to use it:
//!
//! * Call [`forward()`] with an [`HttpClient`] and a [`Clock`] of your own: it sends a request to the servers of a [`Pool`]
//!   until one answers. Run [`run_probes`] beside it for each lease of [`PoolState::next_probe`].
//! * Where your proxy's callbacks own the I/O, drive an [`Exchange`] yourself: its module documents the loop.
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
//!     async fn send(&self, path: &mut String, server: &Server, _: &Attempt) -> Result<Self::Response, Failure> {
//!         let status = if server.name == "a" { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
//!         Ok((status, server.url.target(path)))
//!     }
//!     async fn probe(&self, _: &Server, _: &HealthCheck) -> ProbeResult {
//!         Ok(ProbeResponse::new(StatusCode::OK))
//!     }
//!     fn status(&self, response: &Self::Response) -> StatusCode { response.0 }
//!     fn discard(&self, _: Self::Response) {}
//! }
//!
//! struct Stopped;
//! impl Clock for Stopped {
//!     fn now(&self) -> Timestamp { Timestamp::ZERO }
//!     async fn sleep(&self, _: Duration) { std::future::pending().await }
//! }
//!
//! let servers = vec![Server::new("a.example".parse()?), Server::new("b.example".parse()?)];
//! let pool = Pool::new(Service::new("app.example", servers)?, 42);
//! let info = RequestMeta::new(Method::GET);
//! # fn block_on<F: std::future::Future>(future: F) -> F::Output {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::pin!(future).poll(&mut context) {
//! #         std::task::Poll::Ready(output) => output,
//! #         std::task::Poll::Pending => unreachable!(),
//! #     }
//! # }
//! let forwarded = block_on(forward(&pool, &Client, &Stopped, "/x".to_owned(), info));
//! assert_eq!(forwarded.answer, Ok((StatusCode::OK, "https://b.example/x".to_owned())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads a clock, an environment variable or a random source, starts a thread, or panics; `ARCHITECTURE.md`
//! has the list of such invariants and what enforces each.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod attempt;
mod classify;
mod client;
pub mod cookie;
pub mod exchange;
mod forward;
mod local_reply;
mod pool;
mod proxy;
mod retry;
mod rng;
mod select;
mod server;
mod server_set;
mod service;
mod time;

pub use attempt::{Attempt, AttemptResult, Selection};
pub use classify::{Classification, Delivery, Failure, HealthImpact, Outcome};
pub use client::{Clock, HttpClient, UpstreamError};
pub use exchange::{Exchange, Finish, Step, Wait};
pub use forward::{Forwarded, forward, run_probes};
pub use local_reply::LocalReply;
pub use pool::{
    Counters, EjectionState, Event, Health, Lease, Pool, PoolState, ServerSnapshot, ServerStatus, Snapshot, Transition,
};
pub use proxy::{
    BufferPermit, LocalResponse, ProxiedRequest, ReplayBuffer, RequestId, RouteMatch, Services, add_server_headers,
    headers, host, rewrite,
};
pub use retry::{Body, RequestMeta};
pub use rng::Rng;
pub use select::hash;
pub use server::{Server, ServerHeader, ServerUrl, ServerUrlError};
pub use server_set::{ServerId, ServerSet};
pub use service::{
    Affinity, BudgetSettings, EjectionSettings, Failback, HashOn, HealthCheck, Policy, ProbeError, ProbeResponse,
    ProbeResult, RetrySettings, ServerCountError, Service, StatusRanges, Writes,
};
pub use time::Timestamp;
