//! Where the requests of a service go while all servers are available, by picks of the engine.

use http::Method;
use tunnel_balancer_core::{
    LocalReply, Policy, Pool, PoolState, RequestMeta, ServerId, ServerSet, Service, Timestamp, hash,
};

/// Where requests go.
pub(super) struct Traffic {
    pub(super) reads: Target,
    /// Those with unsafe methods.
    pub(super) writes: Target,
}

/// Where requests of one kind go.
pub(super) enum Target {
    /// The balancer replies itself, with this status.
    LocalReply(u16),
    /// To the first server, and after a failure to the next one.
    InOrder(Vec<String>),
    /// To these servers, each with its share in percent.
    Spread(Vec<(String, usize)>),
}

impl Traffic {
    /// Returns the servers that the engine selects.
    pub(super) fn of(service: &Service) -> Self {
        Self { reads: target(service, &Method::GET), writes: target(service, &Method::POST) }
    }
}

impl Target {
    /// Returns whether requests go to the same servers, apart from errors of computed shares.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        const ERROR: usize = 4;
        match (self, other) {
            (Self::LocalReply(one), Self::LocalReply(other)) => one == other,
            (Self::InOrder(one), Self::InOrder(other)) => one == other,
            (Self::Spread(one), Self::Spread(other)) => {
                let is_like = |(name, share): &(String, usize)| {
                    other.iter().any(|(other, others)| name == other && share.abs_diff(*others) <= ERROR)
                };
                one.len() == other.len() && one.iter().all(is_like)
            }
            _ => false,
        }
    }

    /// Returns the predicate of a sentence: a verb, and the servers.
    pub(super) fn predicate(&self) -> (&'static str, String) {
        match self {
            Self::LocalReply(status) => ("get", status.to_string()),
            Self::InOrder(servers) => match &*quoted(servers.iter()) {
                [first, rest @ ..] if !rest.is_empty() => ("go", format!("to {first} first, then to {}", listed(rest))),
                servers => ("go", format!("to {}", listed(servers))),
            },
            Self::Spread(servers) => {
                let shares: Vec<String> =
                    servers.iter().map(|(server, percent)| format!("`{server}` ({percent} %)")).collect();
                ("are spread", format!("over {}", listed(&shares)))
            }
        }
    }
}

/// The number of picks from which shares are computed.
const PICKS: usize = 2_000;

/// The time of the picks.
const NOW: Timestamp = Timestamp::from_millis(100_000);

fn target(service: &Service, method: &Method) -> Target {
    if service.maintenance {
        return Target::LocalReply(LocalReply::maintenance(None).status().as_u16());
    }
    if service.policy == Policy::Failover { in_order(service, method) } else { spread(service, method) }
}

/// Returns a pool whose servers are all available.
fn state(service: &Service) -> PoolState {
    Pool::new(service.clone(), 1).update(|state| state.clone())
}

fn in_order(service: &Service, method: &Method) -> Target {
    let mut state = state(service);
    let meta = RequestMeta::new(method.clone());
    let (mut names, mut tried) = (Vec::new(), ServerSet::EMPTY);
    while names.len() < usize::try_from(service.retry.attempts).unwrap_or(usize::MAX) {
        match state.pick(tried, &meta, NOW) {
            Ok(selection) => {
                tried = tried.union(ServerSet::single(selection.server));
                names.extend(service.server(selection.server).map(|server| server.name.clone()));
            }
            Err(reply) if names.is_empty() => return Target::LocalReply(reply.status().as_u16()),
            Err(_) => break,
        }
    }
    Target::InOrder(names)
}

fn spread(service: &Service, method: &Method) -> Target {
    let mut state = state(service);
    let mut picks = vec![0; service.servers().len()];
    for client in 0..PICKS {
        let meta = RequestMeta { hash_key: hash::key(&client.to_le_bytes()), ..RequestMeta::new(method.clone()) };
        match state.pick(ServerSet::EMPTY, &meta, NOW) {
            Ok(selection) => picks[selection.server.index()] += 1,
            Err(reply) => return Target::LocalReply(reply.status().as_u16()),
        }
    }
    if picks.contains(&PICKS) {
        return in_order(service, method);
    }
    let percent = |picks: usize| (picks * 100 + PICKS / 2) / PICKS;
    let server = |(index, picks): (usize, &usize)| {
        let server = service.server(ServerId::new(index)?)?;
        (*picks > 0).then(|| (server.name.clone(), percent(*picks)))
    };
    Target::Spread(picks.iter().enumerate().filter_map(server).collect())
}

fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.map(|name| format!("`{name}`")).collect()
}

/// Returns `a`, `a and b`, or `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicates(settings: &str) -> [String; 2] {
        let config = tunnel_balancer_config::parse(&format!("services: {{ app.test: {{ {settings} }} }}")).unwrap();
        let Traffic { reads, writes } = Traffic::of(&config.services[0]);
        [reads, writes].map(|target| {
            let (verb, servers) = target.predicate();
            format!("{verb} {servers}")
        })
    }

    #[test]
    fn the_order_is_that_of_the_engine() {
        let all = "go to `a` first, then to `b` and `c`";
        let servers = "servers: [{ url: c.test, backup: true }, a.test, b.test]";
        assert_eq!(predicates(servers), [all, all]);
        let two = "go to `a` first, then to `b`";
        assert_eq!(predicates(&format!("{servers}, retry: {{ attempts: 2 }}")), [two, two]);
        let drained = "servers: [{ url: a.test, drain: true }, b.test, { url: c.test, enabled: false }]";
        assert_eq!(predicates(drained)[0], "go to `b`");
        assert_eq!(
            predicates("servers: [a.test, b.test], writes: primary_only"),
            ["go to `a` first, then to `b`", "go to `a`"]
        );
        assert_eq!(predicates("servers: [a.test], maintenance: true"), ["get 503", "get 503"]);
    }

    #[test]
    fn a_server_with_all_requests_is_the_first_in_the_order() {
        let servers = "servers: [{ url: a.test, backup: true }, b.test], policy: round_robin";
        assert_eq!(predicates(servers)[0], "go to `b` first, then to `a`");
    }

    #[test]
    fn shares_are_those_of_the_engine() {
        let servers = "servers: [{ url: a.test, weight: 3 }, b.test, { url: c.test, weight: 0 }]";
        for policy in ["round_robin", "random", "least_requests", "{ hash: client_ip }"] {
            let text = &predicates(&format!("{servers}, policy: {policy}"))[0];
            let shares: Vec<u32> = text.split(['(', '%']).filter_map(|part| part.trim().parse().ok()).collect();
            assert_eq!(shares.len(), 2, "{policy}: {text}");
            assert!(shares[0].abs_diff(75) <= 4 && shares[0] + shares[1] == 100, "{policy}: {text}");
        }
    }
}
