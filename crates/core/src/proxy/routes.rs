//! Routes requests to the pools of services, by host and path.
//!
//! Of several services that match, the one with the most specific host is selected, and of these
//! the one with the longest path. A host without a matching path is served by a wildcard.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::local_reply::LocalReply;
use crate::pool::Pool;
use crate::proxy::ReplayBuffer;
use crate::proxy::host::{ANY_HOST, host_patterns, is_similar, normalize_host, split_url, strip_port};
use crate::rng::Rng;
use crate::service::{Service, has_path_prefix};
use crate::time::Timestamp;

/// The pools of all services.
#[derive(Debug, Default)]
pub struct Services {
    hosts: Hosts,
    /// The addresses of services whose secrets are missing or invalid: hosts and paths.
    without_secrets: Vec<(String, String)>,
    /// The buffered bodies of all services.
    pub replay: ReplayBuffer,
}

/// The pools by public host or wildcard; those of one host with the longest path first.
///
/// The map has indices, because a Worker has such a map elsewhere: a map with values of another
/// type would add several kilobytes.
#[derive(Debug, Default)]
struct Hosts {
    indices: BTreeMap<String, usize>,
    pools: Vec<Vec<Arc<Pool>>>,
}

/// The service that a request is for, and the parts of its URL.
#[derive(Clone, Copy, Debug)]
pub struct RouteMatch<'s, 'u> {
    /// The service's pool.
    pub pool: &'s Arc<Pool>,
    /// `https` or `http`, as the client connected.
    pub scheme: &'u str,
    /// Host and port as the client wrote them.
    pub authority: &'u str,
    /// Path and query as the client wrote them.
    pub path_and_query: &'u str,
}

impl Services {
    /// Creates pools without state. `seed` decides everything that is random. Of two services with
    /// the same host and path the first is used; `tunnel-balancer-config` rejects such
    /// configurations.
    pub fn new(services: impl IntoIterator<Item = Service>, seed: u64) -> Self {
        let mut seeds = Rng::new(seed);
        let pools = services.into_iter().map(|service| Arc::new(Pool::new(service, seeds.next_u64())));
        Self { hosts: Hosts::new(pools.collect()), without_secrets: Vec::new(), replay: ReplayBuffer::default() }
    }

    /// Sets the seed of all pools, for hosts that create pools before they have random numbers.
    pub fn reseed(&self, seed: u64) {
        let mut seeds = Rng::new(seed);
        self.pools().for_each(|pool| pool.update(|state| state.reseed(seeds.next_u64())));
    }

    /// Sets the addresses of services that cannot serve, because their secrets are missing or
    /// invalid. Requests for them get [`LocalReply::MissingSecret`].
    #[must_use]
    pub fn with_missing_secrets(self, addresses: &[String]) -> Self {
        let split = |address: &String| {
            let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
            (host.to_owned(), path.to_owned())
        };
        Self { without_secrets: addresses.iter().map(split).collect(), ..self }
    }

    /// Creates the pools of a new configuration. An unchanged service keeps its pool. A changed one
    /// keeps the state of its unchanged servers; see [`Pool::reconfigured`]. Requests in flight
    /// stay with the old pools.
    pub fn reloaded(&self, services: impl IntoIterator<Item = Service>, seed: u64, now: Timestamp) -> Self {
        let mut seeds = Rng::new(seed);
        let pools = services.into_iter().map(|service| {
            let seed = seeds.next_u64();
            let is_same = |old: &&Arc<Pool>| old.service().host == service.host && old.service().path == service.path;
            match self.pools().find(is_same) {
                Some(old) if *old.service() == service => Arc::clone(old),
                Some(old) => Arc::new(old.reconfigured(service, seed, now)),
                None => Arc::new(Pool::new(service, seed)),
            }
        });
        Self { hosts: Hosts::new(pools.collect()), without_secrets: Vec::new(), replay: self.replay.clone() }
    }

    /// Returns the service that a request for `url` is for. `has_loop_header` is whether it has
    /// the header [`LOOP_HEADER`](crate::headers::LOOP_HEADER).
    ///
    /// # Errors
    /// [`LocalReply::Loop`] for a request that a balancer sent, [`LocalReply::UnknownHost`] if no
    /// service has its host and path, [`LocalReply::MissingSecret`] if the service has no secrets.
    pub fn route<'s, 'u>(&'s self, url: &'u str, has_loop_header: bool) -> Result<RouteMatch<'s, 'u>, LocalReply> {
        let (scheme, authority, path_and_query) = match split_url(url) {
            Some(parts) => parts,
            None if has_loop_header => return Err(LocalReply::Loop),
            None => return Err(LocalReply::UnknownHost),
        };
        self.route_parts(scheme, authority, path_and_query, has_loop_header)
    }

    /// Does the same for hosts that have the parts of a URL. The parts are never joined, so none
    /// can change the meaning of another.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub fn route_parts<'s, 'u>(
        &'s self,
        scheme: &'u str,
        authority: &'u str,
        path_and_query: &'u str,
        has_loop_header: bool,
    ) -> Result<RouteMatch<'s, 'u>, LocalReply> {
        if has_loop_header {
            return Err(LocalReply::Loop);
        }
        let host = normalize_host(authority).ok_or(LocalReply::UnknownHost)?;
        // Without a service for the port, any port is served.
        let portless =
            Some(strip_port(&host)).filter(|portless| *portless != host && !self.hosts.indices.contains_key(&host));
        let of_port = host_patterns(&host).filter(|pattern| portless.is_none() || pattern != ANY_HOST);
        for pattern in of_port.chain(portless.into_iter().flat_map(host_patterns)) {
            let mut pools = self.hosts.get(&pattern).iter();
            let pool = pools.find(|pool| pool.service().matches_path(path_and_query));
            let paths = self.without_secrets.iter().filter(|(other, _)| *other == *pattern).map(|(_, path)| path);
            let longest = paths.filter(|path| has_path_prefix(path_and_query, path)).map(String::len).max();
            match pool {
                Some(pool) if longest.is_none_or(|longest| longest < pool.service().path.len()) => {
                    return Ok(RouteMatch { pool, scheme, authority, path_and_query });
                }
                _ if longest.is_some() => return Err(LocalReply::MissingSecret),
                _ => {}
            }
        }
        Err(LocalReply::UnknownHost)
    }

    /// Returns the host of all services, if they have the same one.
    pub fn only_host(&self) -> Option<&str> {
        let mut hosts = self.hosts.indices.keys().filter(|host| !host.starts_with('*'));
        hosts.next().map(String::as_str).filter(|_| self.hosts.indices.len() == 1)
    }

    /// Returns up to three hosts that a client may have meant by this unknown one.
    pub fn similar_hosts(&self, authority: &str) -> Vec<String> {
        let Some(host) = normalize_host(authority) else { return Vec::new() };
        let is_similar = |known: &&String| **known != host && is_similar(known, &host);
        self.hosts.indices.keys().filter(is_similar).take(3).cloned().collect()
    }

    /// Returns the pool of the service with this host and path, as the configuration has them.
    pub fn pool(&self, host: &str, path: &str) -> Option<&Arc<Pool>> {
        self.hosts.get(host).iter().find(|pool| pool.service().path == path)
    }

    /// Returns all pools, in the order of their hosts.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.hosts.indices.values().flat_map(|index| self.hosts.at(*index))
    }
}

impl Hosts {
    /// Takes a list, so that it is compiled once.
    fn new(pools: Vec<Arc<Pool>>) -> Self {
        let mut hosts = Self::default();
        for pool in pools {
            let index = *hosts.indices.entry(pool.service().host.clone()).or_insert(hosts.pools.len());
            match hosts.pools.get_mut(index) {
                Some(of_host) => {
                    // A sort would add several kilobytes to a Worker.
                    let length = pool.service().path.len();
                    of_host.insert(of_host.partition_point(|other| other.service().path.len() >= length), pool);
                }
                None => hosts.pools.push(vec![pool]),
            }
        }
        hosts
    }

    /// Returns the pools of a host.
    fn get(&self, host: &str) -> &[Arc<Pool>] {
        self.indices.get(host).map_or(&[], |index| self.at(*index))
    }

    fn at(&self, index: usize) -> &[Arc<Pool>] {
        self.pools.get(index).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::Server;

    fn services(addresses: &[&str]) -> Services {
        let servers = || vec![Server::new("a.example".parse().unwrap())];
        Services::new(addresses.iter().map(|address| Service::new(*address, servers()).unwrap()), 1)
    }

    #[test]
    fn the_most_specific_host_is_selected() {
        let all =
            ["app.test", "app.test/x", "*.app.test", "*.app.test/api", "*.test:8443", "in.app.test/only", "*", "*/api"];
        let table = [
            ("https://app.test/", Some("app.test")),
            ("https://app.test/api", Some("app.test")),
            ("https://APP.test./x", Some("app.test/x")),
            ("https://a.app.test/", Some("*.app.test")),
            ("https://a.app.test/api/x", Some("*.app.test/api")),
            ("https://in.app.test/only/x", Some("in.app.test/only")),
            ("https://in.app.test/", Some("*.app.test")),
            ("https://b.a.app.test/", Some("*")),
            ("https://.app.test/", Some("*.app.test")),
            ("https://xapp.test/", Some("*")),
            ("https://other.test:8443/", Some("*.test:8443")),
            ("https://other.test:8444/api", Some("*/api")),
            ("https://app.test:8444/x", Some("app.test/x")),
            ("https://a.app.test:8444/", Some("*.app.test")),
            ("https://[::1]/", Some("*")),
            ("https://a b/", None),
        ];
        let services = services(&all);
        for (url, expected) in table {
            let name = services.route(url, false).ok().map(|matched| matched.pool.service().name());
            assert_eq!(name.as_deref(), expected, "{url}");
        }
        let services = services.with_missing_secrets(&["secret.app.test".to_owned()]);
        for url in ["https://secret.app.test/", "https://secret.app.test:8444/"] {
            assert_eq!(services.route(url, false).err(), Some(LocalReply::MissingSecret));
        }
    }

    #[test]
    fn reseeded_pools_draw_as_those_created_with_the_seed() {
        let draws = |services: &Services| -> Vec<_> {
            let draw = |pool: &Arc<Pool>| pool.update(|state| state.random_up_to(Duration::from_secs(1_000_000)));
            services.pools().map(draw).collect()
        };
        let services = |seed| {
            let service = |name| Service::new(name, vec![Server::new("a.example".parse().unwrap())]).unwrap();
            Services::new(["a.test", "b.test"].map(service), seed)
        };
        let reseeded = services(0);
        reseeded.reseed(7);
        assert_eq!(draws(&reseeded), draws(&services(7)));
        assert_ne!(draws(&services(7)), draws(&services(0)));
    }

    #[test]
    fn the_longest_matching_path_is_selected() {
        let services = services(&["app.test", "app.test/api/", "app.test/api/v2", "other.test/only"]);
        let table = [
            ("https://app.test/", Some("app.test")),
            ("https://app.test", Some("app.test")),
            ("https://app.test/api", Some("app.test/api")),
            ("https://app.test/api?x=/v2", Some("app.test/api")),
            ("https://app.test/api/x", Some("app.test/api")),
            ("https://app.test/apix", Some("app.test")),
            ("https://app.test/api/v2/x", Some("app.test/api/v2")),
            ("https://app.test/api/v20", Some("app.test/api")),
            ("https://app.test//api", Some("app.test")),
            ("https://app.test/x?/api", Some("app.test")),
            ("https://APP.test.:443/api/x", Some("app.test/api")),
            ("https://other.test/only/x", Some("other.test/only")),
            ("https://other.test/", None),
            ("https://unknown.test/", None),
        ];
        for (url, expected) in table {
            let name = services.route(url, false).ok().map(|matched| matched.pool.service().name());
            assert_eq!(name.as_deref(), expected, "{url}");
        }
        assert_eq!(services.route("https://app.test/", true).err(), Some(LocalReply::Loop));
        let services = services.with_missing_secrets(&["app.test/api".to_owned(), "secret.test".to_owned()]);
        let table = [
            ("https://app.test/", Ok("app.test")),
            ("https://app.test/api/x", Err(LocalReply::MissingSecret)),
            ("https://app.test/api/v2/x", Ok("app.test/api/v2")),
            ("https://secret.test/x", Err(LocalReply::MissingSecret)),
            ("https://unknown.test/x", Err(LocalReply::UnknownHost)),
        ];
        for (url, expected) in table {
            let name = services.route(url, false).map(|matched| matched.pool.service().name());
            assert_eq!(name, expected.map(str::to_owned), "{url}");
        }
        let forged = services.route_parts("https", "*.test", "/", false);
        assert_eq!(forged.err(), Some(LocalReply::UnknownHost), "a wildcard is not a host");
        let forged = services.route_parts("https", "app.test/api", "/", false);
        assert_eq!(forged.err(), Some(LocalReply::UnknownHost), "a path in the host is not a path");
    }
}
