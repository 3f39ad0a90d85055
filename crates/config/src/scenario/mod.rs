//! Scenarios: which requests come, and what servers do when, for `tunnel-balancer simulate`.
//!
//! A scenario is read as `services.yaml` is, with every mistake told where it stands;
//! `examples/scenarios/all-keys.yaml` has every key. Its timeline is a map from times to servers,
//! so that it reads like the story it tells:
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

mod reading;
mod timeline;

use std::fmt;
use std::time::Duration;

use tunnel_balancer_core::{RequestMeta, Service};

pub(crate) use reading::scenario;

/// What happens to a service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// What it shows, in a sentence; may be empty.
    pub title: String,
    /// The service it happens to.
    pub service: Service,
    /// For how long requests come.
    pub duration: Duration,
    /// How many isolates serve it, each of which has to find out everything by itself.
    pub isolates: usize,
    /// How long clients wait before they disconnect; `None`: for ever.
    pub client_timeout: Option<Duration>,
    /// The requests that come.
    pub requests: Vec<Stream>,
    /// How long each server takes when nothing else is said, by name.
    pub latency: Vec<(String, Duration)>,
    /// What servers do, in the order of time. Until told otherwise they are up.
    pub timeline: Vec<Step>,
}

/// Requests that come at a rate, at times left to chance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stream {
    /// What they are like.
    pub info: RequestMeta,
    /// How many come in a second, on average.
    pub rate: f64,
    /// When the first may come.
    pub from: Duration,
    /// When no more come.
    pub until: Duration,
}

/// From a time on, a server behaves in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// When.
    pub at: Duration,
    /// The server's name.
    pub server: String,
    /// What it does with requests.
    pub requests: ServerBehavior,
    /// What it does with probes.
    pub probes: ServerBehavior,
    /// Whether the connections of requests that wait for it are reset at this moment.
    pub reset_connections: bool,
}

/// The action of a server, and how long the server takes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerBehavior {
    /// The action.
    pub action: Action,
    /// How long it takes on average.
    pub after: Duration,
    /// The standard deviation of that time.
    pub stddev: Duration,
}

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Answers well.
    Up,
    /// Answers with a status.
    Answers(u16),
    /// Takes no connections.
    Refuses,
    /// Takes requests and never answers.
    Hangs,
    /// Takes requests and resets their connections.
    Resets,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Answers(status) => write!(f, "answers {status}"),
            Self::Refuses => f.write_str("refuses"),
            Self::Hangs => f.write_str("hangs"),
            Self::Resets => f.write_str("resets"),
        }
    }
}

impl Stream {
    /// How many come in all, on average.
    fn expected(&self) -> f64 {
        self.rate * self.until.saturating_sub(self.from).as_secs_f64()
    }
}
