//! What is measured: a policy, its weights and a number of servers, and how a line of the output
//! names them.

use std::fmt;

use tunnel_balancer_core::{HashOn, Server, Service};

/// How servers are chosen, by the names of services.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The first.
    Failover,
    /// In turn.
    RoundRobin,
    /// By lot.
    Random,
    /// The less busy of two.
    LeastRequests,
    /// The faster of two.
    Latency,
    /// The same for the same client. The address is a number already.
    Hash,
    /// The same, with the address as text, to be hashed first.
    HashText,
    /// The same by FNV-1a modulo the number of servers: not consistent, almost all clients move
    /// when a server goes.
    FnvModulo,
}

impl Policy {
    /// Ours.
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

/// Whether all servers weigh the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// 1 each.
    Even,
    /// 3, 2, 1 and over again.
    Uneven,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// How servers are chosen.
    pub policy: Policy,
    /// What they weigh.
    pub weights: Weights,
    /// How many there are.
    pub servers: usize,
}

impl Case {
    /// Few, as for most people; more than most; as many as a service can have.
    const SIZES: [usize; 3] = [3, 8, 64];

    /// These policies in all sizes, with even weights.
    pub fn even(policies: &[Policy]) -> Vec<Self> {
        Self::all(policies, Weights::Even)
    }

    /// These policies in all sizes, with even weights and then with uneven ones where these matter.
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
            let url = format!("chat-{index}.example").parse().expect("a hostname is an address");
            let mut server = Server::new(url);
            server.weight = self.weight(index);
            server
        };
        let servers = (0..self.servers).map(server).collect();
        let mut service = Service::new("app.example", servers).expect("the sizes are those of services");
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

/// As `round_robin/uneven/8`: what `cargo xtask bench` reads.
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
