//! The public form of the report: titles and states, for all readers.
//!
//! It has no hostname, server name, reason, number or error text.

use tunnel_balancer_core::{ServiceState, Timestamp};
use tunnel_balancer_state::json::Object;

use crate::availability::{Incident, Past, Timeline};
use crate::observation::Observation;
use crate::report::{self, days, incident};

/// The most incidents that are shown, the newest ones.
const MAX_INCIDENTS: usize = 50;

/// Returns the public form.
pub(crate) fn all(seen: &Observation<'_>) -> String {
    let past = Past::new(seen.history, seen.history_since);
    let services: Vec<(String, ServiceState, Option<u64>, Timeline)> = seen
        .services
        .iter()
        .map(|observed| {
            let timeline = past.timeline(&report::present(observed, seen));
            let since = observed.status.since.map(Timestamp::as_millis);
            let since = since.or_else(|| timeline.state_since(observed.state()));
            (observed.service.title.clone(), observed.state(), since, timeline)
        })
        .collect();
    // A sort would make the Worker larger.
    let mut incidents: Vec<(&str, Incident)> = Vec::new();
    let order = |it: &Incident| (it.until.is_none(), it.from);
    for (title, _, _, timeline) in &services {
        for it in timeline.incidents() {
            let at = incidents.partition_point(|(_, other)| order(other) >= order(&it));
            incidents.insert(at, (title, it));
            incidents.truncate(MAX_INCIDENTS);
        }
    }
    let listed = services.iter().map(|(title, state, since, timeline)| {
        Object::default()
            .text("title", title)
            .text("state", state.as_str())
            .optional_number("since", *since)
            .objects("days", days(timeline))
    });
    Object::default()
        .number("version", report::VERSION)
        .text("kind", "public")
        .number("now", seen.now)
        .optional_number("history_since", seen.history_since)
        .objects("services", listed)
        .objects(
            "incidents",
            incidents.into_iter().map(|(title, it)| incident(Object::default().text("title", title), it)),
        )
        .finish()
}
