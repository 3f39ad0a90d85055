//! Where health is shared.

use crate::names::name_of;

/// Where the processes that serve one configuration share what they know about its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthSharing {
    /// Nowhere: each isolate or process finds out by itself.
    #[default]
    Isolate,
    /// The cache of a data center of Cloudflare.
    Colo,
    /// Workers KV, written when the state of a server changes.
    Kv,
    /// A Durable Object, which also probes all servers.
    DurableObject,
    /// A monitor on another machine, which probes all servers and pushes its results.
    Monitor,
}

impl HealthSharing {
    /// The modes by their names in the configuration.
    pub const NAMES: [(&str, Self); 5] = [
        ("isolate", Self::Isolate),
        ("colo", Self::Colo),
        ("kv", Self::Kv),
        ("durable_object", Self::DurableObject),
        ("monitor", Self::Monitor),
    ];

    /// Returns the name in the configuration.
    pub fn as_str(self) -> &'static str {
        name_of(&Self::NAMES, &self)
    }
}
