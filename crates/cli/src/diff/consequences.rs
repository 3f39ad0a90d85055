//! What follows from the changes of a service, as sentences.

use std::collections::BTreeMap;

use tunnel_balancer_core::{Service, Services};

use super::traffic::{Target, Traffic};

/// Both versions of all services.
pub(super) struct Consequences<'a> {
    old: ByName<'a>,
    new: ByName<'a>,
    old_routes: Services,
    new_routes: Services,
}

type ByName<'a> = BTreeMap<String, &'a Service>;

impl<'a> Consequences<'a> {
    pub(super) fn new(old: &'a [Service], new: &'a [Service]) -> Self {
        let routes = |services: &[Service]| Services::new(services.to_vec(), 1);
        let by_name = |services: &'a [Service]| services.iter().map(|service| (service.name(), service)).collect();
        Self { old: by_name(old), new: by_name(new), old_routes: routes(old), new_routes: routes(new) }
    }

    /// Returns what follows for a service that was added, removed or changed.
    pub(super) fn of(&self, name: &str) -> Vec<String> {
        match self.versions(name) {
            (None, Some(new)) => added(new, &self.old_routes),
            (Some(old), None) => vec![removed(old, &self.new_routes)],
            (Some(old), Some(new)) => changed(old, new),
            (None, None) => Vec::new(),
        }
    }

    /// Returns the old and the new version of a service.
    pub(super) fn versions(&self, name: &str) -> (Option<&'a Service>, Option<&'a Service>) {
        (self.old.get(name).copied(), self.new.get(name).copied())
    }
}

fn added(service: &Service, old: &Services) -> Vec<String> {
    let Traffic { reads, writes } = Traffic::of(service);
    let mut sentences = vec![sentence(READS, &reads, None)];
    sentences.extend((!writes.is_like(&reads)).then(|| sentence(WRITES, &writes, None)));
    sentences.extend(serving(service, old).ok().map(|other| format!("The service `{other}` had them before.")));
    sentences
}

fn removed(service: &Service, new: &Services) -> String {
    match serving(service, new) {
        Ok(other) => format!("{READS} go to the service `{other}`."),
        Err(status) => format!("{READS} get {status}."),
    }
}

fn changed(old: &Service, new: &Service) -> Vec<String> {
    let (before, after) = (Traffic::of(old), Traffic::of(new));
    let mut sentences = Vec::new();
    if !after.reads.is_like(&before.reads) {
        sentences.push(sentence(READS, &after.reads, Some(&before.reads)));
    }
    let is_covered = before.writes.is_like(&before.reads) && after.writes.is_like(&after.reads);
    if !after.writes.is_like(&before.writes) && !is_covered {
        sentences.push(sentence(WRITES, &after.writes, Some(&before.writes)));
    }
    if let (Some(before), Some(after)) = (&old.affinity, &new.affinity)
        && (&before.cookie, &before.key) != (&after.cookie, &after.key)
    {
        sentences.push("Affinity cookies become invalid: clients are assigned to servers again.".to_owned());
    }
    sentences
}

const READS: &str = "Requests";
const WRITES: &str = "Requests with unsafe methods, such as POST,";

fn sentence(subject: &str, after: &Target, before: Option<&Target>) -> String {
    let (verb, servers) = after.predicate();
    let before = before.map_or_else(String::new, |before| format!("; before: {}", before.predicate().1));
    format!("{subject} {verb} {servers}{before}.")
}

/// Returns the name of the service that has the requests of `service`, or the status that they get.
fn serving(service: &Service, services: &Services) -> Result<String, u16> {
    let host = service.host.replace('*', "any");
    let url = format!("https://{host}{}/", service.path);
    let found = services.route(&url, false).map_err(|reply| reply.status().as_u16())?;
    Ok(found.pool.service().name())
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;

    fn consequences(old: &str, new: &str, name: &str) -> Vec<String> {
        let [old, new] = [old, new].map(|services| parse(&format!("services: {{ {services} }}")).unwrap().services);
        Consequences::new(&old, &new).of(name)
    }

    #[test]
    fn requests_of_removed_services_go_to_the_next_match() {
        let both = "a.test: x.example, a.test/api: y.example";
        let (host, path) = ("a.test: x.example", "a.test/api: y.example");
        assert_eq!(consequences(both, host, "a.test/api"), ["Requests go to the service `a.test`."]);
        assert_eq!(consequences(both, path, "a.test"), ["Requests get 404."]);
        let expected = ["Requests go to `y`.", "The service `a.test` had them before."];
        assert_eq!(consequences(host, both, "a.test/api"), expected);
        let wildcard = "\"*.test\": x.example";
        assert_eq!(consequences(host, wildcard, "a.test"), ["Requests go to the service `*.test`."]);
        assert_eq!(consequences(wildcard, host, "*.test"), ["Requests get 404."]);
    }

    #[test]
    fn reads_and_writes_are_separate_if_they_differ() {
        let (one, other) = ("a.test: [x.example, y.example]", "a.test: [y.example, x.example]");
        let expected = ["Requests go to `y` first, then to `x`; before: to `x` first, then to `y`."];
        assert_eq!(consequences(one, other, "a.test"), expected);
        let primary = "a.test: { servers: [x.example, y.example], writes: primary_only }";
        let expected = ["Requests with unsafe methods, such as POST, go to `x`; before: to `x` first, then to `y`."];
        assert_eq!(consequences(one, primary, "a.test"), expected);
    }

    #[test]
    fn another_key_of_affinity_invalidates_cookies() {
        let with = |key: &str| {
            format!("a.test: {{ servers: [x.example, y.example], affinity: {{ cookie: lb, key: \"${{{key}}}\" }} }}")
        };
        assert_eq!(consequences(&with("A"), &with("B"), "a.test").len(), 1);
        assert_eq!(consequences(&with("A"), &with("A"), "a.test"), [] as [&str; 0]);
    }
}
