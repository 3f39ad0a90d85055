//! The service that the configuration and the overrides make.

use tunnel_balancer_core::{ServerId, Service, Timestamp};

use super::change::Change;
use super::overrides::Overrides;

impl Overrides {
    /// Returns `service`, as the configuration has it, with the changes in force. The clock of its
    /// pool must show milliseconds since 1970, as `now` does.
    ///
    /// Changes of services and servers that the configuration does not have are ignored.
    #[must_use]
    pub fn apply(&self, service: &Service, now: u64) -> Service {
        let mut changed = service.clone();
        let name = service.name();
        let mut forced = None;
        for it in self.iter().filter(|it| it.service == name && it.is_in_force(now)) {
            let index = service.servers().iter().position(|server| Some(&server.name) == it.server.as_ref());
            let server = index.and_then(|index| changed.servers_mut().get_mut(index));
            match (it.change, server) {
                (Change::Maintenance(on), _) => {
                    changed.maintenance = on;
                    changed.maintenance_until = it.until.filter(|_| on).map(Timestamp::from_millis);
                }
                (Change::Drain, Some(server)) => server.drain = true,
                (Change::Disable, Some(server)) => server.enabled = false,
                (Change::Enable, Some(server)) => (server.enabled, server.drain) = (true, false),
                (Change::Weight(weight), Some(server)) => server.weight = weight,
                (Change::Force, Some(_)) => forced = index.and_then(ServerId::new),
                (Change::Failback, _) | (_, None) => {}
            }
        }
        // A forced server is used whatever else was changed.
        if let Some(server) = forced.and_then(|id| changed.servers_mut().get_mut(id.index())) {
            (server.enabled, server.drain, server.weight) = (true, false, server.weight.max(1));
            changed.forced = forced;
        }
        changed
    }
}
