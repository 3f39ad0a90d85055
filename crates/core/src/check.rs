//! The check of a service that was made by a program, by the rules for a configuration file.
//!
//! A rule is a range in [`limits`], a predicate such as [`Server::is_name`], or a [`Conflict`].
//! Readers of files use the same ones, and add the positions and hints.
//!
//! [`Conflict`]: crate::Conflict

use std::fmt::Debug;
use std::ops::RangeInclusive;

use crate::proxy::headers;
use crate::proxy::host::{ANY_HOST, normalize_host};
use crate::service::{
    Affinity, EjectionSettings, Failback, HashOn, HealthCheck, Policy, RetrySettings, Server, ServerHeader,
    ServerHealthCheck, ServerUrl, Service, ServiceError, StatusRanges, limits,
};

type CheckResult = Result<(), ServiceError>;

impl Service {
    /// Checks the settings, as the reader of a configuration file does. [`Service::of`] and
    /// [`Service::configure`] call it.
    ///
    /// # Errors
    /// The first error.
    pub fn check(&self) -> CheckResult {
        let host = self.host.strip_prefix("*.").unwrap_or(&self.host);
        let is_normal = self.host == ANY_HOST || normalize_host(host).is_some_and(|normal| normal == host);
        valid(is_normal, "host", "a hostname in lower case")?;
        valid(Self::is_path(&self.path), "path", "a path such as `/api`")?;
        let prefix = self.strip_prefix.as_deref();
        valid(prefix.is_none_or(Self::is_path), "strip_prefix", "a path such as `/api`")?;
        valid(self.fallback.as_deref().is_none_or(Self::is_fallback), "fallback", "an absolute URL")?;
        let is_own = self.forced.is_none_or(|id| self.server(id).is_some());
        valid(is_own, "forced", "the id of a server of the service")?;
        if let Policy::Hash(HashOn::Header(name) | HashOn::Cookie(name)) = &self.policy {
            valid(headers::is_token(name), "policy.hash", "the name of a header or a cookie")?;
        }
        if let Failback::After(time) = self.failback {
            within(time, limits::DURATION, "failback.after")?;
        }
        optional(self.slow_start, limits::DURATION, "slow_start")?;
        self.affinity.iter().try_for_each(Affinity::check)?;
        self.retry.check()?;
        self.ejection.check()?;
        self.health_check.iter().try_for_each(|check| check.check("health_check"))?;
        self.servers().iter().enumerate().try_for_each(|(index, server)| server.check(&format!("servers[{index}]")))?;
        for (index, server) in self.servers().iter().enumerate() {
            let previous = || self.servers().iter().take(index);
            if previous().any(|other| other.has_same_target(server)) {
                return Err(ServiceError::DuplicateServer(server.url.to_string()));
            }
            if previous().any(|other| other.name == server.name) {
                return Err(ServiceError::DuplicateName(server.name.clone()));
            }
        }
        self.conflicts().next().map_or(Ok(()), |conflict| Err(conflict.into()))
    }

    /// Returns whether a string is a URL that clients can be redirected to.
    pub fn is_fallback(text: &str) -> bool {
        let web = ["http", "https"];
        let is_absolute =
            text.split_once("://").is_some_and(|(scheme, _)| web.iter().any(|web| scheme.eq_ignore_ascii_case(web)));
        let address = text.split(['?', '#']).next().unwrap_or_default();
        is_absolute && text.bytes().all(|b| b.is_ascii_graphic()) && address.parse::<ServerUrl>().is_ok()
    }
}

impl Affinity {
    fn check(&self) -> CheckResult {
        valid(headers::is_token(&self.cookie), "affinity.cookie", "the name of a cookie")?;
        valid(self.key.len() >= limits::MIN_AFFINITY_KEY, "affinity.key", "a secret of at least 16 bytes")?;
        within(self.ttl, limits::AFFINITY_TTL, "affinity.ttl")
    }
}

impl RetrySettings {
    fn check(&self) -> CheckResult {
        within(self.attempts, limits::ATTEMPTS, "retry.attempts")?;
        within(self.timeout, limits::TIMEOUT, "retry.timeout")?;
        optional(self.per_try_timeout, limits::DURATION, "retry.per_try_timeout")?;
        optional(self.liveness_check_after, limits::LIVENESS_CHECK_AFTER, "retry.liveness_check_after")?;
        optional(self.hold, limits::HOLD, "retry.hold")?;
        self.statuses.check(limits::RETRIED_STATUS, "retry.statuses")?;
        self.passthrough_statuses.check(limits::STATUS, "retry.passthrough_statuses")?;
        within(self.budget.percent, limits::BUDGET_PERCENT, "retry.budget.percent")?;
        within(self.budget.min_per_second, limits::BUDGET_MIN_PER_SECOND, "retry.budget.min_per_second")?;
        within(self.max_buffered_body, limits::MAX_BUFFERED_BODY, "retry.max_buffered_body")
    }
}

impl EjectionSettings {
    fn check(&self) -> CheckResult {
        within(self.consecutive_failures, limits::CONSECUTIVE_FAILURES, "ejection.consecutive_failures")?;
        optional(self.window_failures, limits::WINDOW_FAILURES, "ejection.window_failures")?;
        within(self.base_time, limits::DURATION, "ejection.base_time")?;
        within(self.max_time, limits::DURATION, "ejection.max_time")?;
        within(self.max_percent, limits::MAX_EJECTED_PERCENT, "ejection.max_percent")
    }
}

impl Server {
    fn check(&self, place: &str) -> CheckResult {
        valid(Self::is_name(&self.name), &format!("{place}.name"), "1 to 64 visible ASCII characters without quotes")?;
        within(self.weight, limits::WEIGHT, &format!("{place}.weight"))?;
        optional(self.max_requests, limits::MAX_REQUESTS, &format!("{place}.max_requests"))?;
        check_headers(&self.headers, &format!("{place}.headers"))?;
        match &self.health_check {
            ServerHealthCheck::Custom(check) => check.check(&format!("{place}.health_check")),
            ServerHealthCheck::Inherit | ServerHealthCheck::Disabled => Ok(()),
        }
    }
}

impl HealthCheck {
    fn check(&self, place: &str) -> CheckResult {
        let name = |name: &str| format!("{place}.{name}");
        valid(Self::is_path(&self.path), &name("path"), "a path such as `/health`")?;
        check_headers(&self.headers, &name("headers"))?;
        optional(self.port, limits::PORT, &name("port"))?;
        within(self.interval, limits::DURATION, &name("interval"))?;
        within(self.unhealthy_interval, limits::DURATION, &name("unhealthy_interval"))?;
        within(self.timeout, limits::DURATION, &name("timeout"))?;
        within(self.rise, limits::THRESHOLD, &name("rise"))?;
        within(self.fall, limits::THRESHOLD, &name("fall"))?;
        valid(!self.expect_status.0.is_empty(), &name("expect_status"), "at least one status")?;
        self.expect_status.check(limits::STATUS, &name("expect_status"))?;
        let is_expected = |text: &str| (1..=Self::MAX_EXPECTED).contains(&text.len());
        if let Some((header, text)) = &self.expect_header {
            valid(headers::is_token(header) && is_expected(text), &name("expect_header"), "a header and a string")?;
        }
        valid(self.expect_body.as_deref().is_none_or(is_expected), &name("expect_body"), "a string of 1 to 256 bytes")
    }
}

impl StatusRanges {
    fn check(&self, allowed: RangeInclusive<u16>, setting: &str) -> CheckResult {
        for (first, last) in &self.0 {
            within(*first, allowed.clone(), setting)?;
            within(*last, *first..=*allowed.end(), setting)?;
        }
        Ok(())
    }
}

fn check_headers(list: &[ServerHeader], setting: &str) -> CheckResult {
    list.iter().try_for_each(|header| {
        let is_value = !header.value.is_empty() && header.value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let is_settable = headers::is_token(&header.name) && !headers::is_reserved(&header.name);
        valid(is_value && is_settable, setting, "headers that the balancer does not set itself")
    })
}

fn valid(is_valid: bool, setting: &str, expected: &'static str) -> CheckResult {
    if is_valid { Ok(()) } else { Err(ServiceError::Invalid { setting: setting.to_owned(), expected }) }
}

fn optional<T: PartialOrd + Debug>(value: Option<T>, range: RangeInclusive<T>, setting: &str) -> CheckResult {
    value.map_or(Ok(()), |value| within(value, range, setting))
}

fn within<T: PartialOrd + Debug>(value: T, range: RangeInclusive<T>, setting: &str) -> CheckResult {
    if range.contains(&value) {
        return Ok(());
    }
    let [least, most, found] = [range.start(), range.end(), &value].map(|value| format!("{value:?}"));
    Err(ServiceError::OutOfRange { setting: setting.to_owned(), least, most, found })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::{Conflict, Writes};

    type Change = fn(&mut Service);

    fn service() -> Service {
        Service::of("app.example.com", ["a.example.com", "b.example.com"]).unwrap()
    }

    #[test]
    fn every_setting_is_checked() {
        let seconds = Duration::from_secs;
        let table: [(&str, Change); 24] = [
            ("`host`: expected a hostname in lower case", |it| it.host = "App.example".to_owned()),
            ("`path`: expected a path such as `/api`", |it| it.path = "/a/../b".to_owned()),
            ("`fallback`: expected an absolute URL", |it| it.fallback = Some("/status".to_owned())),
            ("`slow_start`: expected 1ms to 86400s, found 0ns", |it| it.slow_start = Some(Duration::ZERO)),
            ("`affinity.key`: expected a secret of at least 16 bytes", |it| {
                it.affinity = Some(Affinity::new("lb", *b"short"));
            }),
            ("`affinity.cookie`: expected the name of a cookie", |it| {
                it.affinity = Some(Affinity::new("l b", [0; 16]))
            }),
            ("`policy.hash`: expected the name of a header or a cookie", |it| {
                it.policy = Policy::Hash(HashOn::Header(String::new()));
            }),
            ("`retry.attempts`: expected 1 to 10, found 0", |it| it.retry.attempts = 0),
            ("`retry.timeout`: expected 1s to 3600s, found 0ns", |it| it.retry.timeout = Duration::ZERO),
            ("`retry.statuses`: expected 300 to 599, found 200", |it| it.retry.statuses.0.push((200, 299))),
            ("`retry.statuses`: expected 500 to 599, found 400", |it| it.retry.statuses.0.push((500, 400))),
            ("`ejection.window_failures`: expected 1 to 20, found 21", |it| it.ejection.window_failures = Some(21)),
            ("`servers[1].weight`: expected 0 to 1000, found 1001", |it| it.servers_mut()[1].weight = 1001),
            ("`servers[0].name`: expected 1 to 64 visible ASCII characters without quotes", |it| {
                it.servers_mut()[0].name = "a, b".to_owned();
            }),
            ("`servers[0].headers`: expected headers that the balancer does not set itself", |it| {
                it.servers_mut()[0].headers.push(ServerHeader::new("Host", "a"));
            }),
            ("`health_check.path`: expected a path such as `/health`", |it| {
                it.health_check.as_mut().unwrap().path = "health".to_owned();
            }),
            ("`servers[0].health_check.rise`: expected 1 to 100, found 0", |it| {
                let check = HealthCheck { rise: 0, ..HealthCheck::default() };
                it.servers_mut()[0].health_check = ServerHealthCheck::Custom(Box::new(check));
            }),
            ("`timeout` (5s) is longer than `interval` (1s)", |it| {
                it.health_check.as_mut().unwrap().interval = Duration::from_secs(1);
            }),
            ("`base_time` (600s) is longer than `max_time` (300s)", |it| {
                it.ejection.base_time = Duration::from_secs(600)
            }),
            ("`per_try_timeout` (101s) is longer than `timeout` (100s)", |it| {
                it.retry.per_try_timeout = Some(Duration::from_secs(101));
            }),
            ("no server is enabled", |it| it.servers_mut().iter_mut().for_each(|server| server.enabled = false)),
            ("every server has `backup: true`", |it| {
                it.servers_mut().iter_mut().for_each(|server| server.backup = true)
            }),
            ("two servers have the name `a`: set `Server::name` of one of them", |it| {
                it.servers_mut()[1].name = "a".to_owned()
            }),
            ("duplicate server `https://a.example.com`", |it| it.servers_mut()[1].url = it.servers()[0].url.clone()),
        ];
        for (expected, change) in table {
            let error = service().configure(change).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let slow = service().configure(|it| it.ejection.base_time = seconds(600));
        let expected = Conflict::TooLong {
            setting: "base_time",
            duration: seconds(600),
            limit: "max_time",
            longest: seconds(300),
        };
        assert_eq!(slow, Err(ServiceError::Conflict(expected)));
    }

    #[test]
    fn other_settings_are_accepted() {
        let table: [Change; 5] = [
            |it| it.host = "*.example.com".to_owned(),
            |it| it.host = ANY_HOST.to_owned(),
            |it| it.writes = Writes::PrimaryOnly,
            |it| it.affinity = Some(Affinity::new("lb", [0; 16])),
            |it| {
                it.maintenance = true;
                it.servers_mut().iter_mut().for_each(|server| server.enabled = false);
            },
        ];
        for change in table {
            assert_eq!(service().configure(change).map(|_| ()), Ok(()));
        }
    }

    #[test]
    fn servers_of_one_host_are_named_by_their_ports() {
        let names = |urls: &[&str]| {
            let service = Service::of("app.example.com", urls.iter().copied())?;
            Ok(service.servers().iter().map(|server| server.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&["http://localhost:1", "http://localhost:2", "b.example"]).unwrap(),
            ["localhost:1", "localhost:2", "b"]
        );
        assert_eq!(names(&[]), Err(ServiceError::ServerCount(0)));
        let secret = names(&["https://user:secret@a.example"]).unwrap_err();
        assert_eq!(secret.to_string(), "server 1: a user name or password in the URL is not allowed");
    }
}
