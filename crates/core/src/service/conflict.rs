//! Settings that are valid by themselves and exclude each other.

use std::time::Duration;

use http::Method;

use super::{EjectionSettings, Failback, HealthCheck, Policy, RetrySettings, Server, ServerTls, Service};

/// Two settings of a service that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A duration is longer than one that limits it.
    #[error("`{setting}` ({duration:?}) is longer than `{limit}` ({longest:?})")]
    TooLong {
        /// The setting.
        setting: &'static str,
        /// Its value.
        duration: Duration,
        /// The setting that limits it.
        limit: &'static str,
        /// The value of that setting.
        longest: Duration,
    },
    /// `retry.statuses` and `retry.passthrough_statuses` both have these.
    #[error("`statuses` and `passthrough_statuses` both have {0} to {1}")]
    Statuses(u16, u16),
    /// A probe with the method `HEAD` expects a body.
    #[error("no probe passes: a response to `HEAD` has no body")]
    BodyOfHead,
    /// Only the policy `failover` has a preferred server, to which traffic returns.
    #[error("`failback` has no effect with the policy `{}`", .0)]
    Failback(&'static str),
    /// The path of the service does not begin with the prefix that is stripped.
    #[error("the path of the service does not begin with `strip_prefix`")]
    StripPrefix,
    /// No server is used.
    #[error("no server is enabled")]
    AllDisabled,
    /// No server gets new clients.
    #[error("every enabled server has `drain: true`")]
    AllDraining,
    /// No server gets new traffic.
    #[error("every server that accepts new clients has `weight: 0`")]
    NoWeight,
    /// Every server waits for another one to fail.
    #[error("every server has `backup: true`")]
    AllBackups,
    /// The certificates that are trusted are not used.
    #[error("`ca` is not used with `insecure_skip_verify: true`")]
    UnusedCa,
}

impl Conflict {
    /// Returns the conflict of a duration with the setting that limits it, if it is longer.
    fn too_long(
        (setting, duration): (&'static str, Duration),
        (limit, longest): (&'static str, Duration),
    ) -> Option<Self> {
        (duration > longest).then_some(Self::TooLong { setting, duration, limit, longest })
    }
}

impl RetrySettings {
    /// Returns the settings that exclude each other.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        let timeout = ("timeout", self.timeout);
        let per_try = self.per_try_timeout.and_then(|limit| Conflict::too_long(("per_try_timeout", limit), timeout));
        let both = self.statuses.overlap(&self.passthrough_statuses);
        per_try.into_iter().chain(both.map(|(first, last)| Conflict::Statuses(first, last)))
    }
}

impl EjectionSettings {
    /// Returns the settings that exclude each other.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        Conflict::too_long(("base_time", self.base_time), ("max_time", self.max_time)).into_iter()
    }
}

impl HealthCheck {
    /// Returns the settings that exclude each other. A probe must end before the next one.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        let intervals = [("interval", self.interval), ("unhealthy_interval", self.unhealthy_interval)];
        let timeout = ("timeout", self.timeout);
        let too_long = intervals.into_iter().filter_map(move |interval| Conflict::too_long(timeout, interval));
        let body_of_head = self.method == Method::HEAD && self.expect_body.is_some();
        too_long.chain(body_of_head.then_some(Conflict::BodyOfHead))
    }
}

impl ServerTls {
    /// Returns the conflict of its settings, if there is one.
    pub fn conflict(&self) -> Option<Conflict> {
        (self.insecure_skip_verify && self.ca.is_some()).then_some(Conflict::UnusedCa)
    }
}

impl Server {
    /// Returns why none of some servers can serve new clients.
    pub fn rotation_conflict<'a>(servers: impl Iterator<Item = &'a Self> + Clone) -> Option<Conflict> {
        let enabled = || servers.clone().filter(|server| server.enabled);
        let mut accepting = enabled().filter(|server| !server.drain).peekable();
        if enabled().next().is_none() {
            Some(Conflict::AllDisabled)
        } else if accepting.peek().is_none() {
            Some(Conflict::AllDraining)
        } else if accepting.all(|server| server.weight == 0) {
            Some(Conflict::NoWeight)
        } else if servers.clone().all(|server| server.backup) {
            // Disabled and draining servers count: then backups serve alone for a while.
            Some(Conflict::AllBackups)
        } else {
            None
        }
    }
}

impl Policy {
    /// Returns the conflict of the policy with a setting of failback.
    pub fn conflict(&self, failback: Failback) -> Option<Conflict> {
        let has_effect = failback == Failback::Auto || *self == Self::Failover;
        (!has_effect).then(|| Conflict::Failback(self.as_str()))
    }
}

impl Service {
    /// Returns the settings that exclude each other.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        let begins_with = |prefix: &str| format!("{}/", self.path).starts_with(&format!("{prefix}/"));
        let prefix = self.strip_prefix.as_deref().is_some_and(|prefix| !begins_with(prefix));
        let rotation = if self.maintenance { None } else { Server::rotation_conflict(self.servers.iter()) };
        let checks = self.health_check.iter().chain(self.servers.iter().filter_map(Server::own_health_check));
        (self.policy.conflict(self.failback).into_iter())
            .chain(prefix.then_some(Conflict::StripPrefix))
            .chain(rotation)
            .chain(self.retry.conflicts())
            .chain(self.ejection.conflicts())
            .chain(checks.flat_map(HealthCheck::conflicts))
            .chain(self.servers.iter().filter_map(|server| server.tls.conflict()))
    }
}
