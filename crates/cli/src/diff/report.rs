//! Everything that is printed about two maps.

use tunnel_balancer_config::{Change, Config, ConfigDiff, ServiceDiff, SettingChange, Subrequests};
use tunnel_balancer_core::Service;

use super::consequences::Consequences;
use crate::budget::{Assumed, Budget};
use crate::plural::count;

pub(super) struct Report {
    pub(super) diff: ConfigDiff,
    /// What follows from each of `diff.services`, in their order.
    consequences: Vec<ServiceConsequences>,
    /// The usage of Cloudflare's free plan. Empty: it does not apply.
    pub(super) usage: Vec<Usage>,
}

/// What follows from the difference of a service.
#[derive(Default)]
pub(super) struct ServiceConsequences {
    pub(super) sentences: Vec<String>,
    /// The most subrequests of a request before and after. `None`: there is no service.
    pub(super) subrequests: Option<(Option<u32>, Option<u32>)>,
}

/// A figure of the free plan before and after.
pub(super) struct Usage {
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) old: u64,
    pub(super) new: u64,
}

impl Report {
    pub(super) fn new(old: &Config, new: &Config, on_cloudflare: bool) -> Self {
        let diff = ConfigDiff::of(old, new);
        let all = Consequences::new(&old.services, &new.services);
        let subrequests = |name: &str| {
            let (old, new) = all.versions(name);
            let total = |service: &Service| Subrequests::of(service).total();
            (old.map(total), new.map(total))
        };
        let consequences = |service: &ServiceDiff| match service.change {
            Change::Unchanged => ServiceConsequences::default(),
            _ => ServiceConsequences {
                sentences: all.of(&service.service),
                subrequests: on_cloudflare.then(|| subrequests(&service.service)),
            },
        };
        let consequences = diff.services.iter().map(consequences).collect();
        let usage = if on_cloudflare { usage(old, new) } else { Vec::new() };
        Self { diff, consequences, usage }
    }

    /// Returns the services that differ, with the consequences.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&ServiceDiff, &ServiceConsequences)> {
        self.services().filter(|(service, _)| service.change != Change::Unchanged)
    }

    /// Returns all services, with the consequences.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceDiff, &ServiceConsequences)> {
        self.diff.services.iter().zip(&self.consequences)
    }

    /// Returns the number of services without a difference.
    pub(super) fn unchanged(&self) -> usize {
        self.services().count() - self.changed().count()
    }
}

impl ServiceConsequences {
    /// Returns the sentences, with one about subrequests if their number changed.
    pub(super) fn all(&self) -> Vec<String> {
        let subrequests = self.subrequests.and_then(|(old, new)| Some((old?, new?))).filter(|(old, new)| old != new);
        let sentence = |(old, new)| format!("A request makes at most {new} subrequests; before: {old}.");
        self.sentences.iter().cloned().chain(subrequests.map(sentence)).collect()
    }
}

/// The values of a setting before and after.
pub(super) enum Values<'a> {
    /// Of something new.
    Initial(&'a str),
    Changed(&'a str, &'a str),
    /// The difference is redacted.
    Hidden,
}

impl<'a> Values<'a> {
    pub(super) const NOT_SET: &'static str = "not set";
    pub(super) const HIDDEN: &'static str = "changed (not shown)";

    /// Returns the values of a setting of a service or a server with this change.
    pub(super) fn of(setting: &'a SettingChange, change: Change) -> Self {
        let shown = |value: &'a Option<String>| value.as_deref().unwrap_or(Self::NOT_SET);
        match (shown(&setting.old), shown(&setting.new)) {
            (_, new) if change == Change::Added => Self::Initial(new),
            (old, new) if old == new => Self::Hidden,
            (old, new) => Self::Changed(old, new),
        }
    }
}

/// Returns the title of the usage, with its assumptions.
pub(super) fn usage_title() -> String {
    let Assumed { requests_per_day, isolates } = Assumed::DEFAULT;
    let (requests, isolates) = (count(requests_per_day, "request"), count(isolates, "isolate"));
    format!("Estimated usage of Cloudflare's free plan, for {requests} per day and {isolates}")
}

fn usage(old: &Config, new: &Config) -> Vec<Usage> {
    let budget = |config: &Config| Budget::of(&config.services, config.health_sharing, Assumed::DEFAULT);
    let (old, new) = (budget(old), budget(new));
    let figure = |key, title, of: fn(&Budget) -> u64| Usage { key, title, old: of(&old), new: of(&new) };
    vec![
        figure("subrequests_per_request", "subrequests per request", |budget| {
            budget.worst.as_ref().map_or(0, |(_, work)| work.total().into())
        }),
        figure("probes_per_day", "probes per day", |budget| budget.probes),
        figure("probes_per_day_servers_down", "probes per day while servers are down", |budget| {
            budget.probes_unhealthy
        }),
        figure("kv_writes_per_day", "KV writes per day", Budget::kv_writes),
        figure("durable_object_requests_per_day", "Durable Object requests per day", |budget| {
            let (alarms, reads) = budget.object_requests();
            alarms + reads
        }),
    ]
}
