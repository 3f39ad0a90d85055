//! Scenarios for `tunnel-balancer simulate`: request rates, and the behavior of servers over time.
//!
//! A scenario is read like `services.yaml`, and every error is reported with its place.
//! `examples/scenarios/all-keys.yaml` has every key. The timeline is a map from times to servers:
//!
//! ```
//! let text = "
//! services: { app.example.com: [a.example.com, b.example.com] }
//! duration: 5m
//! requests: { GET: 10 }
//! timeline:
//!   1m: { a: 530 }
//!   3m: { a: up }
//! ";
//! let scenario = tunnel_balancer_config::parse_scenario(text, None)?;
//! assert_eq!(scenario.timeline[0].server, "a");
//! # Ok::<(), tunnel_balancer_config::Errors>(())
//! ```

mod file;
mod state;
mod timeline;

use std::fmt;
use std::time::Duration;

use tunnel_balancer_core::{RequestMeta, Service};

pub(crate) use file::scenario;
pub use state::ServerState;
pub(crate) use state::server_states;

/// A service, its requests and the behavior of its servers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// A description in one sentence. May be empty.
    pub title: String,
    /// The service that is simulated.
    pub service: Service,
    /// How long requests arrive.
    pub duration: Duration,
    /// The number of isolates. They share no state.
    pub isolates: usize,
    /// The time after which clients disconnect. `None`: never.
    pub client_timeout: Option<Duration>,
    /// Whether a request is limited to the subrequests of Cloudflare's free plan.
    pub free_plan: bool,
    /// The requests that arrive.
    pub requests: Vec<RequestStream>,
    /// The usual response time of each server, by name.
    pub latency: Vec<(String, Duration)>,
    /// Changes of servers, in the order of time. Before the first one, a server is up.
    pub timeline: Vec<BehaviorChange>,
}

/// Requests that arrive at a rate, at random times.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RequestStream {
    /// Their properties.
    pub meta: RequestMeta,
    /// The average number of requests per second.
    pub rate: f64,
    /// The earliest arrival time.
    pub from: Duration,
    /// The time after the last arrival.
    pub until: Duration,
}

/// A change of the behavior of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BehaviorChange {
    /// The time of the change.
    pub at: Duration,
    /// The name of the server.
    pub server: String,
    /// Its behavior towards requests.
    pub requests: ServerBehavior,
    /// Its behavior towards probes.
    pub probes: ServerBehavior,
    /// Whether the connections of waiting requests are reset at this time.
    pub reset_connections: bool,
}

/// The action of a server, and its response time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerBehavior {
    /// The action.
    pub action: Action,
    /// The average response time.
    pub after: Duration,
    /// The standard deviation of the response time.
    pub stddev: Duration,
}

/// The reaction of a server to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Responds with 200, and passes probes.
    Up,
    /// Responds with this status.
    Status(u16),
    /// Refuses connections.
    Refuses,
    /// Accepts requests and never responds.
    Hangs,
    /// Accepts requests and resets their connections.
    Resets,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Refuses => f.write_str("refuses"),
            Self::Hangs => f.write_str("hangs"),
            Self::Resets => f.write_str("resets"),
        }
    }
}

impl RequestStream {
    /// Returns the average number of requests in total.
    fn expected(&self) -> f64 {
        self.rate * self.until.saturating_sub(self.from).as_secs_f64()
    }
}
