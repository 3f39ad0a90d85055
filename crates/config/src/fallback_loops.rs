//! Fallbacks that redirect clients without end.

use std::collections::{BTreeMap, BTreeSet};

use tunnel_balancer_core::Service;
use tunnel_balancer_core::host::{normalize_host, split_url};

use crate::diagnostic::Code;
use crate::host::PublicHosts;
use crate::node::backticked;
use crate::reader::Field;
use crate::report::Report;

/// Reports each loop of fallbacks once. `services` are those of a file with their fields, and
/// `public` has their addresses.
pub(crate) fn check(services: &[(Service, Field<'_>)], public: &PublicHosts) {
    let targets =
        services.iter().filter_map(|(service, field)| Some((service.name(), (target(service, public)?, *field))));
    let targets: BTreeMap<String, (String, Field<'_>)> = targets.collect();
    let mut checked = BTreeSet::new();
    for mut name in targets.keys() {
        let mut path = Vec::new();
        while let Some((next, field)) = targets.get(name).filter(|_| checked.insert(name)) {
            path.push((name, *field));
            name = next;
        }
        let entered = path.iter().position(|(visited, _)| *visited == name);
        if let Some([(_, field), others @ ..]) = entered.and_then(|entered| path.get(entered..)) {
            let others: Vec<String> = others.iter().map(|(name, _)| backticked(name)).collect();
            field.get("fallback").unwrap_or(*field).report(report(&others));
        }
    }
}

/// Returns the service that the fallback of a service leads to.
fn target(service: &Service, public: &PublicHosts) -> Option<String> {
    let (_, authority, path) = split_url(service.fallback.as_deref()?)?;
    public.serving(&normalize_host(authority)?, path)
}

/// Returns the report of a loop through other services.
fn report(others: &[String]) -> Report {
    let way = if others.is_empty() {
        "to this service".to_owned()
    } else {
        format!("back to this service through {}", others.join(", "))
    };
    let message = format!("`fallback` leads {way}, so clients are redirected without end");
    Report::new(Code::Loop, message).hint("write a URL that is not behind these servers")
}
