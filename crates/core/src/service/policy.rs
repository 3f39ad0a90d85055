//! Selection policies, and the keys of the policy `hash`.

use std::borrow::Cow;

use crate::cookie;
use crate::hash::key;

/// How a server is selected among the candidates.
///
/// Matches on it are exhaustive: a program that explains selections must cover every policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The first in the operator's order.
    #[default]
    Failover,
    /// In rotation, in proportion to the weights and spread as evenly as possible.
    RoundRobin,
    /// At random, with a probability proportional to the weight.
    Random,
    /// The less loaded of two random servers.
    LeastRequests,
    /// The one of two random servers with the shorter estimated wait.
    Latency,
    /// The same server for the same key.
    Hash(HashOn),
}

impl Policy {
    /// Returns the word in the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequests => "least_requests",
            Self::Latency => "latency",
            Self::Hash(_) => "hash",
        }
    }
}

/// The source of the hash key. An empty value counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashOn {
    /// The client's address.
    ClientIp,
    /// A request header, or the client's address without it.
    Header(String),
    /// A cookie, or the client's address without it.
    Cookie(String),
    /// The path, without the query.
    Path,
}

impl HashOn {
    /// Returns the key of a request. `header` returns a request header, `path` is the path with or
    /// without a query.
    pub fn key<'a>(&self, header: impl Fn(&str) -> Option<Cow<'a, str>>, path: &str, client_ip: Option<&str>) -> u64 {
        let text = match self {
            Self::ClientIp => None,
            Self::Header(name) => header(name),
            Self::Cookie(name) => header("cookie")
                .and_then(|cookies| cookie::value_of(&cookies, name).map(|value| value.to_owned().into())),
            Self::Path => path.split(['?', '#']).next().map(Cow::Borrowed),
        };
        // With an empty value as the key, all clients without one would use the same server.
        let text = text.filter(|text| !text.trim().is_empty());
        text.as_deref().or(client_ip).map_or(0, |text| key(text.as_bytes()))
    }
}
