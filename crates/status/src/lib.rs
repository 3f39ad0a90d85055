//! The status endpoint: what a running balancer shows of itself.
//!
//! A host passes a request and the state of its pools as values, and gets a response as a value.
//! So the Worker and `serve` show the same. The endpoint has a page, a report in JSON, metrics,
//! badges and checks of the balancer itself: see [`Endpoint`].
//!
//! Nothing here does I/O or reads a clock. Times are milliseconds since 1970.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod access;
mod availability;
mod badge;
mod endpoint;
mod exposition;
mod http;
mod metrics;
mod observation;
pub mod page;
mod public;
mod report;
mod settings;
mod slug;
mod traffic;
mod view;

pub use endpoint::{Endpoint, EndpointOutcome};
pub use http::{StatusRequest, StatusResponse};
pub use observation::{Balancer, Host, Observation, ServiceObservation, Sharing};
pub use settings::StatusSettings;
pub use slug::slug;
pub use view::View;
