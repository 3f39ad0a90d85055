//! What there is to say of a request: asked of the engine, in our words.

use http::{HeaderMap, HeaderName, HeaderValue};
use tunnel_balancer_core::{
    EjectionState, Policy, Pool, PoolState, ProxiedRequest, RequestMeta, RouteMatch, Selection, Server, ServerId,
    ServerSet, ServerStatus, Service, Writes, headers,
};

use super::{NOW, outcomes};

/// Everything there is to say, for people and for programs.
#[derive(Default)]
pub(super) struct Explanation {
    pub(super) url: String,
    /// Its name, and why it is the one.
    pub(super) service: Option<(String, String)>,
    /// Name and reason, in the order in which they are asked.
    pub(super) servers: Vec<(String, String)>,
    /// Name and reason.
    pub(super) left_out: Vec<(String, String)>,
    /// What may come of an attempt, and what follows.
    pub(super) outcomes: Vec<(String, String)>,
    /// What happens while there is no answer.
    pub(super) waits: Vec<(String, String)>,
    pub(super) limits: String,
    /// Method and target, and the headers.
    pub(super) request: Option<(String, Vec<String>)>,
    /// Why there would be an answer of ours at once.
    pub(super) refusal: Option<String>,
}

impl Explanation {
    pub(super) fn of(
        url: String,
        matched: RouteMatch<'_, '_>,
        inbound: &ProxiedRequest,
        info: &RequestMeta,
        fields: HeaderMap,
    ) -> Self {
        let pool = matched.pool;
        let service = pool.service();
        let (picks, problem) = order(pool, info);
        let status = pool.update(|state| state.status(NOW));
        let most = usize::try_from(service.retry.attempts).unwrap_or(usize::MAX);
        let mut servers = Vec::new();
        let mut left_out = Vec::new();
        for (place, pick) in picks.iter().enumerate() {
            let Some(server) = service.server(pick.server) else { continue };
            let named = (server.name.clone(), reason(place, pick, server, service, info));
            if place < most {
                servers.push(named);
            } else {
                left_out.push((server.name.clone(), format!("`attempts: {most}` are used up before")));
            }
        }
        for (index, server) in service.servers().iter().enumerate() {
            let is_asked = picks.iter().any(|pick| pick.server.index() == index);
            if !is_asked {
                left_out.push((server.name.clone(), why_not(index, server, &status[index], service, info)));
            }
        }
        let request = picks.first().and_then(|pick| service.server(pick.server)).map(|server| {
            let mut sent = fields;
            // The client's connection ends here, and the server is asked by its own name.
            sent.remove(http::header::HOST);
            let edited =
                headers::remove_hop_by_hop(&mut sent).and_then(|()| inbound.prepare_request(&mut sent, server));
            let line = format!("{} {}", info.method, server.url.target(&inbound.path_and_query));
            (line, edited.map(|()| shown(&sent, server)).unwrap_or_default())
        });
        let retry = &service.retry;
        Self {
            url,
            service: Some((service.name(), why_this(service))),
            refusal: servers.is_empty().then(|| problem.unwrap_or_default()),
            outcomes: outcomes::of(service, info, servers.len()),
            waits: outcomes::while_waiting(service, info, servers.len()),
            limits: format!("{} at most, {:?} in all", attempts(servers.len()), retry.timeout),
            servers,
            left_out,
            request,
        }
    }
}

/// Whom the engine would choose, one after the other, each having failed before the next; and why
/// it stops.
fn order(pool: &Pool, info: &RequestMeta) -> (Vec<Selection>, Option<String>) {
    let mut state: PoolState = pool.update(|state| state.clone());
    let (mut picks, mut tried) = (Vec::new(), ServerSet::EMPTY);
    loop {
        match state.pick(tried, info, NOW) {
            Ok(pick) => {
                tried = tried.union(ServerSet::single(pick.server));
                picks.push(pick);
            }
            Err(problem) => return (picks, Some(format!("{}: {}", problem.status(), problem.message()))),
        }
    }
}

fn attempts(count: usize) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}

fn why_this(service: &Service) -> String {
    if service.path.is_empty() {
        "its host, and no path of another service there".to_owned()
    } else {
        format!("its host, and the longest path that fits: {}", service.path)
    }
}

fn reason(place: usize, pick: &Selection, server: &Server, service: &Service, info: &RequestMeta) -> String {
    if pick.last_resort {
        return "not available, tried as a last resort".to_owned();
    }
    if pick.trial {
        return "on probation: this request decides whether it takes traffic again".to_owned();
    }
    if place == 0 && info.affinity_server == Some(pick.server) {
        return "the client's own: its cookie says so".to_owned();
    }
    if server.backup {
        return "a backup: no other is left".to_owned();
    }
    if service.writes == Writes::PrimaryOnly && !info.is_safe() {
        return "the one that takes writes".to_owned();
    }
    let first = place == 0;
    match &service.policy {
        Policy::Failover if first => "the first in the list that is usable".to_owned(),
        Policy::Failover => "next in the list".to_owned(),
        Policy::RoundRobin => "by turns: this is the order of the very first request".to_owned(),
        Policy::Random => format!("by lot, weight {}: another --seed draws others", server.weight),
        Policy::LeastRequests => "of two drawn by lot the less busy: another --seed draws others".to_owned(),
        Policy::Latency => {
            "of two drawn by lot the one likely to answer sooner: another --seed draws others".to_owned()
        }
        Policy::Hash(_) if first => "the highest score for this client's key".to_owned(),
        Policy::Hash(_) => "the next score for this client's key".to_owned(),
        _ => "by the policy".to_owned(),
    }
}

fn why_not(index: usize, server: &Server, status: &ServerStatus, service: &Service, info: &RequestMeta) -> String {
    let is_primary = ServerId::new(0).is_some_and(|id| id.index() == index);
    if !server.enabled {
        "`enabled: false`".to_owned()
    } else if service.writes == Writes::PrimaryOnly && !info.is_safe() && !is_primary {
        format!("`writes: primary_only`, and {} may write", info.method)
    } else if server.drain {
        "`drain: true`: it keeps its clients and gets no new ones".to_owned()
    } else if server.weight == 0 {
        "`weight: 0`: no new traffic".to_owned()
    } else if let EjectionState::Ejected(until) = status.ejection {
        format!("left out for {:?}", until.since(NOW))
    } else {
        format!("{:?}, in its place behind the others", status.health).to_lowercase()
    }
}

/// The headers as lines, in alphabetical order; what the server alone gets is not shown.
fn shown(fields: &HeaderMap, server: &Server) -> Vec<String> {
    let is_own = |name: &HeaderName| server.headers.iter().any(|header| header.name == name.as_str());
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if is_own(name) { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {value}")
    };
    let mut lines: Vec<String> = fields.iter().map(line).collect();
    lines.sort();
    lines
}
