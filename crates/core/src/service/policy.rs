//! Selection policies, and what the policy `hash` goes by.

use std::borrow::Cow;

use crate::cookie;
use crate::select::hash::key;

/// How a service chooses among the servers that may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The first in the operator's order.
    #[default]
    Failover,
    /// In turn, each as often as its weight says, spread as evenly as can be.
    RoundRobin,
    /// By lot, each with a chance proportional to its weight.
    Random,
    /// The less busy of two drawn by lot.
    LeastRequests,
    /// The one of two drawn by lot that is likely to answer sooner.
    Latency,
    /// The same server for the same key.
    Hash(HashOn),
}

/// What the key is made from. Each host reads it from the request and turns it into a number by [`key`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashOn {
    /// The client's address.
    ClientIp,
    /// A request header; without it, the client's address.
    Header(String),
    /// A cookie; without it, the client's address.
    Cookie(String),
    /// The path, without the query.
    Path,
}

impl HashOn {
    /// The key of a request. `header` reads one of its headers, `path` is its path with or without a query.
    pub fn key<'a>(&self, header: impl Fn(&str) -> Option<Cow<'a, str>>, path: &str, client_ip: Option<&str>) -> u64 {
        let text = match self {
            Self::ClientIp => None,
            Self::Header(name) => header(name),
            Self::Cookie(name) => header("cookie")
                .and_then(|cookies| cookie::value_of(&cookies, name).map(|value| value.to_owned().into())),
            Self::Path => path.split(['?', '#']).next().map(Cow::Borrowed),
        };
        // An empty value is no key: all clients without one would go to the same server.
        let text = text.filter(|text| !text.trim().is_empty());
        text.as_deref().or(client_ip).map_or(0, |text| key(text.as_bytes()))
    }
}
