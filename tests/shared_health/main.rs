//! Health that isolates share, on miniflare: real Durable Objects, alarms, KV, caches and cron
//! triggers.

mod control;
mod cron;
mod durable_object;
mod machines;
mod processes;
mod push;
mod races;
mod status;

use std::time::Duration;

use tunnel_balancer_tests::Service;
use tunnel_balancer_tests::yaml::Yaml;

/// The longest time until all isolates with traffic know of a change of a server or of an operator,
/// with a Durable Object. See `docs/shared-health.md` and `docs/control.md`.
const BOUND: Duration = Duration::from_secs(5);

/// The same with Workers KV.
const KV_BOUND: Duration = Duration::from_secs(90);

/// Returns a configuration with a mode and with other settings of the top level.
fn yaml(sharing: &str, settings: &str, services: Vec<Service>) -> String {
    let Yaml(services) = services.into();
    format!("health_sharing: {sharing}\n{settings}{services}")
}
