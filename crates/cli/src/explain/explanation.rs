//! The content of an explanation, from the engine's decisions.

use http::{HeaderMap, HeaderName, HeaderValue};
use tunnel_balancer_core::{
    EjectionState, Health, LocalReply, Policy, Pool, PoolState, ProxiedRequest, RequestMeta, RouteMatch, Selection,
    Server, ServerSet, ServerStatus, Service, Writes, headers,
};

use super::{NOW, outcomes};
use crate::plural::count;

/// Everything that is printed.
#[derive(Default)]
pub(super) struct Explanation {
    pub(super) url: String,
    /// The name of the service, and the reason.
    pub(super) service: Option<(String, String)>,
    /// The servers in the order of attempts.
    pub(super) servers: Vec<Candidate>,
    /// Names of servers that are not tried, and the reasons.
    pub(super) skipped: Vec<(String, String)>,
    /// Outcomes of an attempt, and their consequences.
    pub(super) outcomes: Vec<(String, String)>,
    /// Conditions while there is no response, and their consequences.
    pub(super) waits: Vec<(String, String)>,
    pub(super) limits: String,
    /// The request line and the headers that the first server receives.
    pub(super) request: Option<(String, Vec<String>)>,
    /// The reply of the balancer, if no server is tried.
    pub(super) local_reply: Option<String>,
    /// The URL to which the client is redirected if no server responds.
    pub(super) fallback: Option<String>,
}

/// A server that is tried.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) reason: String,
}

impl Explanation {
    pub(super) fn new(
        url: String,
        matched: RouteMatch<'_, '_>,
        request: &ProxiedRequest,
        meta: &RequestMeta,
        fields: HeaderMap,
    ) -> Self {
        let pool = matched.pool;
        let service = pool.service();
        let named = Some((service.name(), route_reason(service)));
        if let Some(reply) = refusal(service, meta) {
            return Self { url, service: named, local_reply: Some(text(reply)), ..Self::default() };
        }
        let (selections, rejection) = order(pool, meta);
        let status = pool.update(|state| state.status(NOW).servers);
        let attempts = usize::try_from(service.retry.attempts).unwrap_or(usize::MAX);
        let none_available = selections.first().is_some_and(|selection| selection.last_resort);
        let (mut servers, mut skipped) = (Vec::new(), Vec::new());
        for (place, selection) in selections.iter().enumerate() {
            let index = selection.server.index();
            let (Some(server), Some(status)) = (service.server(selection.server), status.get(index)) else { continue };
            let name = server.name.clone();
            if place < attempts {
                let reason = reason(place == 0, none_available, selection, server, status, service, meta);
                servers.push(Candidate { name, state: state(server, status), reason });
            } else {
                skipped.push((name, format!("`attempts: {attempts}`: used up by the servers above")));
            }
        }
        for (index, (server, status)) in service.servers().iter().zip(&status).enumerate() {
            if !selections.iter().any(|selection| selection.server.index() == index) {
                skipped.push((server.name.clone(), skip_reason(index, server, status, service, meta)));
            }
        }
        let first = selections.first().and_then(|selection| service.server(selection.server));
        let request = first.map(|server| {
            let mut sent = fields;
            // The server receives its own name as `Host`.
            sent.remove(http::header::HOST);
            let edited =
                headers::remove_hop_by_hop(&mut sent).and_then(|()| request.prepare_request(&mut sent, server));
            let line = format!("{} {}", meta.method, request.target(server).unwrap_or_default());
            (line, edited.map(|()| header_lines(&sent, server)).unwrap_or_default())
        });
        let limits =
            format!("at most {}, {:?} in total", count(servers.len() as u64, "attempt"), service.retry.timeout);
        Self {
            url,
            service: named,
            fallback: service.fallback.clone(),
            local_reply: servers.is_empty().then(|| rejection.unwrap_or_default()),
            outcomes: outcomes::by_consequence(service, meta, servers.len()),
            waits: outcomes::while_waiting(service, meta, servers.len()),
            limits,
            servers,
            skipped,
            request,
        }
    }
}

/// Returns the reply to a request for which no server is selected.
fn refusal(service: &Service, meta: &RequestMeta) -> Option<LocalReply> {
    if meta.is_refused() {
        return Some(LocalReply::MethodNotAllowed);
    }
    service.maintenance.then_some(LocalReply::maintenance(None))
}

/// Returns the servers that the engine selects one after the other, and the reply of the balancer
/// when none is left.
fn order(pool: &Pool, meta: &RequestMeta) -> (Vec<Selection>, Option<String>) {
    let mut state: PoolState = pool.update(|state| state.clone());
    let (mut selections, mut tried) = (Vec::new(), ServerSet::EMPTY);
    loop {
        match state.pick(tried, meta, NOW) {
            Ok(selection) => {
                tried = tried.union(ServerSet::single(selection.server));
                selections.push(selection);
            }
            Err(reply) => return (selections, Some(text(reply))),
        }
    }
}

fn text(reply: LocalReply) -> String {
    format!("{}: {}", reply.status(), reply.message())
}

fn route_reason(service: &Service) -> String {
    let host = match service.host.strip_prefix('*') {
        None => "its host matches",
        Some("") => "no other service has this host",
        Some(_) => "its wildcard matches, and no service with this host does",
    };
    if service.path.is_empty() {
        format!("{host}, and no path of another service does")
    } else {
        format!("{host}, and `{}` is the longest matching path", service.path)
    }
}

/// Returns the state of a server, in the words of the status page.
fn state(server: &Server, status: &ServerStatus) -> String {
    let ejection = match status.ejection {
        EjectionState::Active => None,
        EjectionState::Ejected(until) => Some(format!("ejected for {:?}", until.since(NOW))),
        EjectionState::Probation => Some("on probation".to_owned()),
    };
    let states = [
        (status.health == Health::Unhealthy).then(|| "unhealthy".to_owned()),
        ejection,
        status.stalled.then(|| "stalled".to_owned()),
        status.awaiting_failback.then(|| "awaiting failback".to_owned()),
    ];
    let mut states: Vec<String> = states.into_iter().flatten().collect();
    if states.is_empty() {
        states.push("available".to_owned());
    }
    if server.drain {
        states.push("draining".to_owned());
    }
    states.join(", ")
}

fn reason(
    first: bool,
    none_available: bool,
    selection: &Selection,
    server: &Server,
    status: &ServerStatus,
    service: &Service,
    meta: &RequestMeta,
) -> String {
    if selection.last_resort {
        return if none_available {
            "last resort: no server is available"
        } else {
            "last resort: after all available servers"
        }
        .to_owned();
    }
    if selection.trial {
        return "trial: this request decides whether the ejection ends".to_owned();
    }
    if first && meta.affinity_server == Some(selection.server) {
        return "named by the client's affinity cookie".to_owned();
    }
    if status.stalled || status.awaiting_failback {
        return "selected after all available servers".to_owned();
    }
    if server.backup {
        return "backup: no other server is available".to_owned();
    }
    if service.writes == Writes::PrimaryOnly && !meta.is_safe() {
        return "`writes: primary_only`: the first server takes writes".to_owned();
    }
    policy_reason(&service.policy, first, server.weight)
}

fn policy_reason(policy: &Policy, first: bool, weight: u32) -> String {
    match policy {
        Policy::Failover if first => "first available server in the list".to_owned(),
        Policy::Failover => "next in the list".to_owned(),
        Policy::RoundRobin => "in rotation; this is the order of the first request".to_owned(),
        Policy::Random => format!("at random, with weight {weight}; depends on --seed"),
        Policy::LeastRequests => "the less loaded of two random servers; depends on --seed".to_owned(),
        Policy::Latency => "the faster of two random servers; depends on --seed".to_owned(),
        Policy::Hash(_) if first => "highest score for the hash key".to_owned(),
        Policy::Hash(_) => "next score for the hash key".to_owned(),
    }
}

fn skip_reason(index: usize, server: &Server, status: &ServerStatus, service: &Service, meta: &RequestMeta) -> String {
    if !server.enabled {
        "`enabled: false`".to_owned()
    } else if service.writes == Writes::PrimaryOnly && !meta.is_safe() && index > 0 {
        format!("`writes: primary_only`: {} may write", meta.method)
    } else if server.drain {
        "`drain: true`: takes no new clients".to_owned()
    } else if server.weight == 0 {
        "`weight: 0`: takes no traffic".to_owned()
    } else {
        state(server, status)
    }
}

/// Returns the headers as lines in alphabetical order. Values of the server's own are redacted.
fn header_lines(fields: &HeaderMap, server: &Server) -> Vec<String> {
    let is_own = |name: &HeaderName| server.headers.iter().any(|header| header.name == name.as_str());
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if is_own(name) { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {value}")
    };
    let mut lines: Vec<String> = fields.iter().map(line).collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tunnel_balancer_config::parse;
    use tunnel_balancer_core::Services;

    use super::*;
    use crate::explain::state::apply;

    fn explanation(down: &[&str]) -> Explanation {
        let yaml = "services: { app.test: [a.test, b.test, { url: c.test, backup: true }] }";
        let services = Services::new(parse(yaml).unwrap().services, 1);
        let matched = services.route("https://app.test/", false).unwrap();
        let down: Vec<String> = down.iter().map(|name| (*name).to_owned()).collect();
        apply(matched.pool, None, &down).unwrap();
        let request = ProxiedRequest::new(matched, &HeaderMap::new(), None).unwrap();
        let meta = RequestMeta::new(http::Method::GET);
        Explanation::new(String::new(), matched, &request, &meta, HeaderMap::new())
    }

    fn rows(explanation: &Explanation) -> Vec<String> {
        explanation.servers.iter().map(|it| format!("{}: {}: {}", it.name, it.state, it.reason)).collect()
    }

    #[test]
    fn a_last_resort_is_never_called_available() {
        let names = ["a", "b", "c"];
        for bits in 0..1 << names.len() {
            let down: Vec<&str> =
                names.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, n)| *n).collect();
            let servers = explanation(&down).servers;
            assert_eq!(servers.len(), names.len(), "{down:?}");
            for candidate in servers {
                let is_down = down.contains(&candidate.name.as_str());
                assert_eq!(candidate.state == "available", !is_down, "{down:?}: {}", candidate.name);
                assert_eq!(candidate.reason.starts_with("last resort: "), is_down, "{down:?}: {}", candidate.reason);
            }
        }
    }

    #[test]
    fn states_and_reasons_agree() {
        let expected = [
            "b: available: first available server in the list",
            "c: available: backup: no other server is available",
            "a: unhealthy, ejected for 10s: last resort: after all available servers",
        ];
        assert_eq!(rows(&explanation(&["a"])), expected);
        let all_down = rows(&explanation(&["a", "b", "c"]));
        assert!(all_down.iter().all(|row| row.ends_with("last resort: no server is available")), "{all_down:?}");
    }

    #[test]
    fn durations_of_ejections_count_from_the_request() {
        assert!(explanation(&["a"]).servers[2].state.ends_with(&format!("{:?}", Duration::from_secs(10))));
    }
}
