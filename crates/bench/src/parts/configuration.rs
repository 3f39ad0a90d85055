//! Configurations of the balancer.

use std::fmt::Write;

use tunnel_balancer_tests::client::HOST;

use crate::load::Origin;

/// Returns a configuration of services with two servers each, which are both the same process. The
/// first service has the host of the load. `settings` are those of each service, by default health
/// checks, and `global` those of the whole file.
pub(crate) fn services(count: usize, settings: &str, global: &str, origin: Origin) -> String {
    let check = if settings.contains("health_check") { "" } else { "health_check: /health" };
    let mut yaml = format!("{global}\nservices:\n");
    for index in 0..count {
        let host = if index == 0 { HOST.to_owned() } else { format!("app-{index}.test") };
        let primary = format!("{{ url: \"{}\", name: primary }}", origin.url());
        let replica = format!("{{ url: \"{}/replica\", name: replica }}", origin.url());
        let _ = writeln!(yaml, "  {host}:\n    servers: [{primary}, {replica}]\n    {check}\n    {settings}");
    }
    yaml
}
