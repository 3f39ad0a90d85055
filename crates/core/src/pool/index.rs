//! The servers of a pool by what is decided and known of them.
//!
//! Every choice asks the same questions of every server. Kept as sets, which are words of bits, they are answered for all
//! servers at once, and only what has changed is worked out anew.

use crate::server::Server;
use crate::server_set::{ServerId, ServerSet};
use crate::service::Service;

/// Which servers are what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerIndex {
    /// Decided: those that get requests at all, those that get new clients, those kept for need, those with a limit.
    pub(crate) enabled: ServerSet,
    pub(crate) open: ServerSet,
    pub(crate) backup: ServerSet,
    pub(crate) limited: ServerSet,
    /// Whether all weigh the same.
    pub(crate) even: bool,
    /// Those who had their turn in this round of `round_robin`, where all weigh the same.
    pub(crate) round_robin_served: ServerSet,
    /// Known: by probes, by traffic.
    pub(crate) unhealthy: ServerSet,
    pub(crate) ejected: ServerSet,
    /// Usable again, but not trusted with all their traffic yet.
    pub(crate) awaiting_failback: ServerSet,
    pub(crate) in_slow_start: ServerSet,
}

impl ServerIndex {
    pub(crate) fn new(service: &Service) -> Self {
        let those = |wanted: fn(&Server) -> bool| -> ServerSet {
            let ids = service.servers().iter().enumerate().filter(|(_, server)| wanted(server));
            ids.filter_map(|(index, _)| ServerId::new(index)).collect()
        };
        let mut weights = service.servers().iter().map(|server| server.weight);
        let first = weights.next();
        Self {
            enabled: those(|server| server.enabled),
            open: those(|server| server.enabled && !server.drain && server.weight > 0),
            backup: those(|server| server.backup),
            limited: those(|server| server.max_requests.is_some()),
            even: weights.all(|weight| Some(weight) == first),
            ..Self::default()
        }
    }
}
