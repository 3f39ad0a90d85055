//! The cases of the benchmark: a policy, weights and a number of servers.

use std::fmt;

use tunnel_balancer_core::{HashOn, Server, Service};

/// A policy, mostly by its name in `services.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The first server.
    Failover,
    /// Weighted rotation.
    RoundRobin,
    /// Random.
    Random,
    /// The less loaded of two random servers.
    LeastRequests,
    /// The faster of two random servers.
    Latency,
    /// The same server for the same client. The address is already hashed.
    Hash,
    /// The same server for the same client. The address is a string and is hashed first.
    HashText,
    /// FNV-1a modulo the number of servers. It is not consistent: almost all clients move when a
    /// server is removed.
    FnvModulo,
}

impl Policy {
    /// The policies of pingora.
    pub const PINGORA: [Self; 4] = [Self::RoundRobin, Self::Random, Self::HashText, Self::FnvModulo];

    /// The policies of this balancer.
    pub const OURS: [Self; 7] = [
        Self::Failover,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequests,
        Self::Latency,
        Self::Hash,
        Self::HashText,
    ];
}

/// The weights of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// 1 for each server.
    Even,
    /// 3, 2, 1, repeated.
    Uneven,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The policy.
    pub policy: Policy,
    /// The weights of the servers.
    pub weights: Weights,
    /// The number of servers.
    pub servers: usize,
}

impl Case {
    /// A typical number of servers, a large one, and the maximum.
    const SIZES: [usize; 3] = [3, 8, 64];

    /// Returns the cases of these policies in all sizes, with even weights.
    pub fn even(policies: &[Policy]) -> Vec<Self> {
        Self::all(policies, Weights::Even)
    }

    /// Returns the cases of these policies in all sizes, with even weights, and with uneven ones if
    /// the policy considers weights.
    pub fn even_and_uneven(policies: &[Policy]) -> Vec<Self> {
        let weighted = |policy: &Policy| {
            matches!(policy, Policy::RoundRobin | Policy::Random | Policy::Hash | Policy::HashText | Policy::FnvModulo)
        };
        let uneven: Vec<_> = policies.iter().copied().filter(weighted).collect();
        [Self::all(policies, Weights::Even), Self::all(&uneven, Weights::Uneven)].concat()
    }

    fn all(policies: &[Policy], weights: Weights) -> Vec<Self> {
        let of_policy = |&policy| Self::SIZES.map(|servers| Self { policy, weights, servers });
        policies.iter().flat_map(of_policy).collect()
    }

    pub(crate) fn weight(&self, index: usize) -> u32 {
        match self.weights {
            Weights::Even => 1,
            Weights::Uneven => [3, 2, 1][index % 3],
        }
    }

    pub(crate) fn service(&self) -> Service {
        use tunnel_balancer_core::Policy as Ours;

        let server = |index| {
            let url = format!("chat-{index}.example").parse().expect("a valid URL");
            let mut server = Server::new(url);
            server.weight = self.weight(index);
            server
        };
        let servers = (0..self.servers).map(server).collect();
        let mut service = Service::new("app.example", servers).expect("a valid number of servers");
        service.policy = match self.policy {
            Policy::Failover => Ours::Failover,
            Policy::RoundRobin => Ours::RoundRobin,
            Policy::Random => Ours::Random,
            Policy::LeastRequests => Ours::LeastRequests,
            Policy::Latency => Ours::Latency,
            Policy::Hash | Policy::HashText | Policy::FnvModulo => Ours::Hash(HashOn::ClientIp),
        };
        service
    }
}

/// Formats the case as `cargo xtask bench` reads it, such as `round_robin/uneven/8`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = match self.policy {
            Policy::Failover => "failover",
            Policy::RoundRobin => "round_robin",
            Policy::Random => "random",
            Policy::LeastRequests => "least_requests",
            Policy::Latency => "latency",
            Policy::Hash => "hash",
            Policy::HashText => "hash_text",
            Policy::FnvModulo => "fnv_modulo",
        };
        let weights = match self.weights {
            Weights::Even => "even",
            Weights::Uneven => "uneven",
        };
        write!(f, "{policy}/{weights}/{}", self.servers)
    }
}
