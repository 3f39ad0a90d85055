//! Where the next request goes, and why.

use tunnel_balancer_core::{Policy, ServerStatus, Service, Standing};

use crate::observation::ServiceObservation;

/// The servers that the next request may be sent to.
pub(crate) struct Traffic<'o> {
    service: &'o Service,
    servers: &'o [ServerStatus],
}

impl<'o> Traffic<'o> {
    pub(crate) fn of(observed: &'o ServiceObservation<'_>) -> Self {
        Self { service: observed.service, servers: &observed.status.servers }
    }

    /// Returns whether the server at this place of the list gets the next request, or may get it.
    pub(crate) fn is_serving(&self, index: usize) -> bool {
        self.servers.get(index).is_some_and(|server| server.serving)
    }

    /// Returns why a server gets no requests, as a stable code. `None`: it gets requests.
    pub(crate) fn skipped(&self, index: usize) -> Option<&'static str> {
        let server = self.servers.get(index)?;
        let standing = server.standing;
        if server.serving {
            None
        } else if self.service.maintenance {
            Some("maintenance")
        } else if standing.is_selectable() {
            // An earlier server of the list is available.
            Some(Standing::Standby.as_str())
        } else {
            Some(standing.as_str())
        }
    }

    /// Returns why these servers get the requests, in words.
    pub(crate) fn reason(&self) -> &'static str {
        if self.service.maintenance {
            return "the service is under maintenance";
        }
        if self.service.forced.is_some() {
            return "an operator has forced this server";
        }
        if !self.servers.iter().any(|server| server.standing.is_selectable()) {
            return "no server may be selected";
        }
        if self.servers.iter().any(|server| server.standing == Standing::LastResort) {
            return "no server is available, so all of them are tried";
        }
        let is_backup = |index: usize| self.service.servers().get(index).is_some_and(|server| server.backup);
        let mut serving = (0..self.servers.len()).filter(|index| self.is_serving(*index)).peekable();
        if serving.peek().is_some() && serving.all(is_backup) {
            return "only backups are available";
        }
        match self.service.policy {
            Policy::Failover => "first available server in the list",
            Policy::RoundRobin => "in turns, by weight",
            Policy::Random => "at random, by weight",
            Policy::LeastRequests => "fewer requests in flight of two random servers",
            Policy::Latency => "shorter expected response time of two random servers",
            Policy::Hash(_) => "by the hash of the request",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tunnel_balancer_core::{PoolState, Server, ServerId, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    /// Returns the codes of the servers that get no requests, and the reason for the others.
    fn traffic(change: impl FnOnce(&mut Service), servers: [(Standing, bool); 3]) -> (String, &'static str) {
        let names = ["a", "b", "c"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
        let mut service = Service::new("app.test", names.to_vec()).unwrap();
        change(&mut service);
        let mut status = PoolState::new(Arc::new(service.clone()), 1).status(NOW);
        for (server, (standing, serving)) in status.servers.iter_mut().zip(servers) {
            (server.standing, server.serving) = (standing, serving);
        }
        let observed = ServiceObservation { service: &service, status, minutes: Vec::new() };
        let traffic = Traffic::of(&observed);
        let codes = (0..3).map(|index| traffic.skipped(index).unwrap_or("serves"));
        (codes.collect::<Vec<_>>().join(", "), traffic.reason())
    }

    #[test]
    fn the_policy_is_the_reason_while_servers_are_available() {
        use Standing::{LastResort, Selectable, SlowStart, Standby, Unhealthy};
        let expect = |found: (String, &str), codes: &str, reason: &str| {
            assert_eq!((found.0.as_str(), found.1), (codes, reason));
        };
        let failover = |_: &mut Service| {};
        let rotation = |service: &mut Service| service.policy = Policy::RoundRobin;
        expect(
            traffic(failover, [(Unhealthy, false), (Selectable, true), (Selectable, false)]),
            "unhealthy, serves, standby",
            "first available server in the list",
        );
        expect(
            traffic(rotation, [(Selectable, true), (SlowStart, true), (Standby, false)]),
            "serves, serves, standby",
            "in turns, by weight",
        );
        let all = "no server is available, so all of them are tried";
        expect(traffic(rotation, [(LastResort, true); 3]), "serves, serves, serves", all);
        let none = [(Standing::Disabled, false); 3];
        expect(traffic(failover, none), "disabled, disabled, disabled", "no server may be selected");
    }

    #[test]
    fn settings_and_operators_decide_before_the_policy() {
        use Standing::{ForcedElsewhere, Selectable, Unhealthy};
        let maintenance = traffic(|service| service.maintenance = true, [(Selectable, false); 3]);
        assert_eq!(
            maintenance,
            ("maintenance, maintenance, maintenance".to_owned(), "the service is under maintenance")
        );
        let force = |service: &mut Service| service.forced = ServerId::new(1);
        let forced = traffic(force, [(ForcedElsewhere, false), (Selectable, true), (ForcedElsewhere, false)]);
        assert_eq!(forced.0, "forced_elsewhere, serves, forced_elsewhere");
        assert_eq!(forced.1, "an operator has forced this server");
        let backup = |service: &mut Service| service.servers_mut()[2].backup = true;
        let backups = traffic(backup, [(Unhealthy, false), (Unhealthy, false), (Selectable, true)]);
        assert_eq!(backups.1, "only backups are available");
    }
}
