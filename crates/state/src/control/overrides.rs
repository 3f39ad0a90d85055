//! The list of changes: one of each kind for a place.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::{Server, Service};

use super::change::{Change, Override};
use super::command::{Action, Command};
use super::error::ControlError;

/// The changes in force, and those that have ended recently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Override>", into = "Vec<Override>")]
pub struct Overrides(Vec<Override>);

impl Overrides {
    /// The largest number of changes.
    pub const CAPACITY: usize = 512;

    /// How long a change is kept that has ended, in milliseconds: 30 days. A process that was
    /// without a connection for longer may restore it.
    const RETENTION: u64 = 30 * 24 * 3_600_000;

    /// Returns all changes, also those that have ended.
    pub fn iter(&self) -> impl Iterator<Item = &Override> {
        self.0.iter()
    }

    /// Returns the changes in force.
    pub fn in_force(&self, now: u64) -> impl Iterator<Item = &Override> {
        self.iter().filter(move |it| it.is_in_force(now))
    }

    /// Returns the services whose [`Change::Failback`] was commanded after a time. A host that
    /// reads a newer document calls
    /// [`release_failback`](tunnel_balancer_core::PoolState::release_failback) of their pools.
    pub fn failbacks_since(&self, time: u64) -> impl Iterator<Item = &str> {
        let is_new = move |it: &&Override| it.change == Change::Failback && it.since > time;
        self.iter().filter(is_new).map(|it| it.service.as_str())
    }

    /// Returns when the next change ends by its duration.
    pub fn next_expiry(&self) -> Option<u64> {
        self.iter().filter(|it| !it.ended).filter_map(|it| it.until).min()
    }

    /// Ends the changes whose time is over, and returns them. Each one is returned once.
    pub fn expire(&mut self, now: u64) -> Vec<Override> {
        let is_over = |it: &&mut Override| !it.ended && !it.is_in_force(now);
        let over = self.0.iter_mut().filter(is_over);
        let expired = over.map(|it| {
            it.ended = true;
            it.clone()
        });
        let expired = expired.collect();
        self.0.retain(|it| !it.ended || now < it.until.unwrap_or(it.since).saturating_add(Self::RETENTION));
        expired
    }

    /// Takes over the changes of another list. Of two changes of the same place, the later one is
    /// in force. The result does not depend on the order of merges. Returns whether anything
    /// changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        other.iter().for_each(|it| self.insert(it.clone()));
        *self != before
    }

    /// Carries out a command. Returns the changes that it made: none if nothing was to be cleared.
    pub(super) fn set<'s>(
        &mut self,
        command: &Command,
        services: impl IntoIterator<Item = &'s Service, IntoIter: Clone>,
        now: u64,
    ) -> Result<Vec<Override>, ControlError> {
        let services = services.into_iter();
        let made = match command.change()? {
            Some(change) => vec![self.new_override(command, change, services.clone(), now)?],
            None => self.clear(command, services.clone(), now)?,
        };
        let mut changed = self.clone();
        made.iter().for_each(|it| changed.insert(it.clone()));
        for service in services.filter(|service| made.iter().any(|it| it.service == service.name())) {
            if has_no_server(&changed.apply(service, now)) && !has_no_server(&self.apply(service, now)) {
                return Err(no_server_left(command, &service.name()));
            }
        }
        let is_new = |it: &&Override| !it.ended && !self.iter().any(|old| !old.ended && old.place() == it.place());
        if self.iter().filter(|it| !it.ended).count() + made.iter().filter(is_new).count() > Self::CAPACITY {
            let message = format!("there are {} changes already", Self::CAPACITY);
            let hint = "clear those that are not needed, or write them into the configuration";
            return Err(ControlError::new(409, "too_many", message).hint(hint));
        }
        *self = changed;
        Ok(made)
    }

    fn new_override<'s>(
        &self,
        command: &Command,
        change: Change,
        services: impl Iterator<Item = &'s Service> + Clone,
        now: u64,
    ) -> Result<Override, ControlError> {
        let name = command.service.clone().unwrap_or_default();
        let Some(service) = services.clone().find(|service| service.name() == name) else {
            return Err(unknown_service(&name, services));
        };
        let server = command.server.as_deref();
        let configured = service.servers().iter().find(|known| Some(known.name.as_str()) == server);
        if let (Some(server), None) = (server, configured) {
            let known: Vec<&str> = service.servers().iter().map(|known| known.name.as_str()).collect();
            return Err(ControlError::unknown("server", server, &known));
        }
        let forced = self.in_force(now).find(|it| it.service == name && it.change == Change::Force);
        if matches!(change, Change::Drain | Change::Disable | Change::Weight(0))
            && forced.is_some_and(|forced| forced.server.as_deref() == server)
        {
            let message = format!("the server `{}` is forced", server.unwrap_or_default());
            return Err(ControlError::conflict(message).hint("clear the service, or force another server first"));
        }
        // A change to what the configuration has only ends the earlier one.
        let is_configured = match (change, configured) {
            (Change::Enable, Some(server)) => server.enabled && !server.drain,
            (Change::Weight(weight), Some(server)) => server.weight == weight,
            (Change::Maintenance(on), _) => !on && !service.maintenance,
            _ => false,
        };
        let mut made = Override {
            service: name,
            server: server.map(str::to_owned),
            change,
            since: now,
            until: command.duration_ms.map(|millis| now.saturating_add(millis)),
            comment: command.comment.clone(),
            origin: origin(command),
            ended: is_configured || change == Change::Failback,
            cleared: false,
        };
        if made.ended {
            made.until = None;
        }
        made.since = self.newer_than(&made, now);
        Ok(made)
    }

    /// Returns the ends of all changes in force that a command clears.
    fn clear<'s>(
        &self,
        command: &Command,
        services: impl Iterator<Item = &'s Service> + Clone,
        now: u64,
    ) -> Result<Vec<Override>, ControlError> {
        let is_named = |it: &&Override| {
            command.service.as_ref().is_none_or(|service| it.service == *service)
                && command.server.as_ref().is_none_or(|server| it.server.as_ref() == Some(server))
        };
        let ended = self.in_force(now).filter(is_named).map(|it| Override {
            since: self.newer_than(it, now),
            until: None,
            comment: command.comment.clone(),
            origin: origin(command),
            ended: true,
            cleared: true,
            ..it.clone()
        });
        let ended: Vec<Override> = ended.collect();
        // Changes of a service that the configuration no longer has can be cleared, too.
        match &command.service {
            Some(name) if ended.is_empty() && !services.clone().any(|service| service.name() == *name) => {
                Err(unknown_service(name, services))
            }
            _ => Ok(ended),
        }
    }

    /// Returns `now`, or a later time if the clock has been set back since the last change.
    fn newer_than(&self, new: &Override, now: u64) -> u64 {
        let last = self.iter().find(|it| it.place() == new.place()).map(|it| it.since);
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// Adds a change, unless a later one has its place. Beyond the capacity, the oldest ends.
    fn insert(&mut self, new: Override) {
        match self.0.binary_search_by(|it| it.place().cmp(&new.place())) {
            Ok(index) => {
                if let Some(old) = self.0.get_mut(index).filter(|old| old.precedence(&new) == Ordering::Less) {
                    *old = new;
                }
            }
            Err(index) => {
                self.0.insert(index, new);
                if self.0.len() > Self::CAPACITY {
                    let oldest = self.0.iter().enumerate().min_by(|(_, a), (_, b)| {
                        let key = |it: &Override| (!it.ended, it.since);
                        key(a).cmp(&key(b)).then_with(|| a.precedence(b)).then_with(|| a.place().cmp(&b.place()))
                    });
                    if let Some(index) = oldest.map(|(index, _)| index) {
                        self.0.remove(index);
                    }
                }
            }
        }
    }
}

impl From<Vec<Override>> for Overrides {
    fn from(list: Vec<Override>) -> Self {
        let mut overrides = Self::default();
        list.into_iter().for_each(|it| overrides.insert(it));
        overrides
    }
}

impl From<Overrides> for Vec<Override> {
    fn from(overrides: Overrides) -> Self {
        overrides.0
    }
}

/// Returns whether new clients have no server, although the service is not under maintenance.
fn has_no_server(service: &Service) -> bool {
    let accepts = |server: &Server| server.enabled && !server.drain && server.weight > 0;
    !service.maintenance && !service.servers().iter().any(accepts)
}

fn origin(command: &Command) -> String {
    command.origin.clone().filter(|origin| !origin.is_empty()).unwrap_or_else(|| "api".to_owned())
}

fn unknown_service<'s>(name: &str, services: impl Iterator<Item = &'s Service>) -> ControlError {
    let known: Vec<String> = services.map(Service::name).collect();
    ControlError::unknown("service", name, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

fn no_server_left(command: &Command, service: &str) -> ControlError {
    let message = format!("no server of `{service}` would get new clients");
    let hint = match command.action {
        Action::Maintenance | Action::Clear => "enable a server first",
        _ => "enable another server first, or start maintenance of the service",
    };
    ControlError::new(409, "no_server_left", message).hint(hint)
}
