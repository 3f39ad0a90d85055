//! The servers of a pool as sets, by configuration and by state.
//!
//! Every selection tests the same conditions for every server. With sets, which are words of bits,
//! these are evaluated for all servers at once. Only servers whose availability depends on the time
//! are evaluated one by one.

use super::server_state::{Presence, ServerState};
use crate::server_set::{ServerId, ServerSet};
use crate::service::Server;
use crate::service::Service;

/// Sets of servers by their properties.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerIndex {
    /// Configured: servers that are used, that may get requests, that are probed, that get new
    /// clients, standby servers, and servers with a limit.
    pub(super) enabled: ServerSet,
    pub(super) permitted: ServerSet,
    pub(super) probed: ServerSet,
    pub(super) accepting: ServerSet,
    pub(super) backup: ServerSet,
    pub(super) with_limit: ServerSet,
    /// Observed: servers whose availability depends on the time.
    pub(super) unsettled: ServerSet,
    /// Neither probes nor ejections keep these from taking traffic.
    pub(super) in_traffic: ServerSet,
    pub(super) ejected: ServerSet,
    /// Servers that are not available, stalled ones included.
    pub(super) unavailable: ServerSet,
    /// Servers on their way back to their full share.
    pub(super) recovering: ServerSet,
    /// Servers whose last request failed.
    pub(super) failing: ServerSet,
}

impl ServerIndex {
    pub(super) fn new(service: &Service) -> Self {
        let those = |wanted: fn(&Server) -> bool| -> ServerSet {
            let ids = service.servers().iter().enumerate().filter(|(_, server)| wanted(server));
            ids.filter_map(|(index, _)| ServerId::new(index)).collect()
        };
        let permitted = service.forced.map_or_else(|| service.all(), ServerSet::single);
        let permitted = permitted.intersection(those(|server| server.enabled));
        Self {
            enabled: those(|server| server.enabled),
            permitted,
            probed: those(|server| server.enabled).iter().filter(|id| service.health_check_of(*id).is_some()).collect(),
            accepting: those(|server| !server.drain && server.weight > 0).intersection(permitted),
            backup: those(|server| server.backup),
            with_limit: those(|server| server.max_requests.is_some()),
            unsettled: ServerSet::EMPTY,
            in_traffic: service.all(),
            ejected: ServerSet::EMPTY,
            unavailable: ServerSet::EMPTY,
            recovering: ServerSet::EMPTY,
            failing: ServerSet::EMPTY,
        }
    }

    /// Updates the sets after something was observed about a server.
    pub(super) fn reindex(&mut self, id: ServerId, state: &ServerState) {
        self.unsettled.set(id, !state.is_settled());
        self.in_traffic.set(id, state.is_in_traffic());
        self.ejected.set(id, state.ejection().is_active());
        self.unavailable.set(id, state.presence() == Presence::Unavailable);
        self.recovering.set(id, state.is_recovering());
        self.failing.set(id, state.has_failed());
    }
}
