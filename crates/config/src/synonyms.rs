//! Words of other load balancers for keys and policies.

const KEYS: &[(&str, &str)] = &[
    ("backends", "servers"),
    ("endpoints", "servers"),
    ("hosts", "servers"),
    ("nodes", "servers"),
    ("origins", "servers"),
    ("targets", "servers"),
    ("upstream", "servers"),
    ("upstreams", "servers"),
    ("address", "url"),
    ("host", "url"),
    ("hostname", "url"),
    ("algorithm", "policy"),
    ("balance", "policy"),
    ("lb_policy", "policy"),
    ("strategy", "policy"),
    ("health", "health_check"),
    ("probe", "health_check"),
    ("session_affinity", "affinity"),
    ("sticky", "affinity"),
    ("retries", "retry"),
    ("max_attempts", "attempts"),
    ("tries", "attempts"),
    ("max_fails", "consecutive_failures"),
    ("healthy_threshold", "rise"),
    ("unhealthy_threshold", "fall"),
    ("uri", "path"),
    ("max_connections", "max_requests"),
    ("max_conns", "max_requests"),
    ("display_name", "title"),
    ("label", "title"),
    ("admin", "status"),
    ("dashboard", "status"),
    ("status_page", "status"),
    ("stats", "status"),
    ("name", "cookie"),
];

const POLICIES: &[(&[&str], &str)] = &[
    (&["active_passive", "first", "ordered", "primary", "primary_backup", "priority"], "write `failover`"),
    (&["rr", "roundrobin"], "write `round_robin`"),
    (&["weighted", "weighted_round_robin", "wrr"], "write `round_robin`, and set the `weight` of each server"),
    (
        &["least_conn", "leastconn", "least_connection", "least_connections", "least_request", "p2c"],
        "write `least_requests`",
    ),
    (&["ewma", "fastest", "least_time", "peak_ewma", "response_time"], "write `latency`"),
    (&["ip_hash", "iphash", "source", "source_ip"], "write `hash`: its key is the IP address of the client"),
    (&["uri", "uri_hash", "url_hash"], "write `{ hash: path }`"),
    (&["consistent_hash", "maglev", "ring_hash"], "write `hash`, or a map such as `{ hash: path }`"),
    (
        &["affinity", "cookie", "session", "sticky"],
        "write `affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }`, which works with every policy",
    ),
];

/// Returns the hint for a key that negates one of the list `known`.
pub(crate) fn negation(word: &str, known: &[&str]) -> Option<&'static str> {
    let is_negation = matches!(normalized(word).as_str(), "disabled" | "disable" | "down" | "inactive");
    (is_negation && known.contains(&"enabled")).then_some("to disable a server, write `enabled: false`")
}

/// Returns the key of the list `known` with the meaning of `word`.
pub(crate) fn key<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = normalized(word);
    let keys = KEYS.iter().filter(|(synonym, _)| *synonym == word);
    keys.flat_map(|(_, key)| known.iter().find(|known| *known == key)).copied().next()
}

/// Returns the hint for a policy of another load balancer.
pub(crate) fn policy(word: &str) -> Option<&'static str> {
    let word = normalized(word);
    POLICIES.iter().find(|(synonyms, _)| synonyms.contains(&word.as_str())).map(|(_, hint)| *hint)
}

fn normalized(word: &str) -> String {
    word.to_ascii_lowercase().replace(['-', ' '], "_")
}
