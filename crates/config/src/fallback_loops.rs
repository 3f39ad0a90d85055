//! Fallbacks that redirect clients without end.

use std::collections::BTreeMap;

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
    let mut indices = BTreeMap::new();
    let mut redirects = Vec::new();
    for (service, field) in services {
        if let Some(target) = target(service, public) {
            indices.insert(service.name(), redirects.len());
            redirects.push(Redirect { target, field: *field, is_checked: false });
        }
    }
    for start in indices.keys() {
        let mut name = start.clone();
        let mut path = Vec::new();
        while let Some(redirect) = indices.get(&name).and_then(|index| redirects.get_mut(*index))
            && !redirect.is_checked
        {
            redirect.is_checked = true;
            path.push((std::mem::replace(&mut name, redirect.target.clone()), redirect.field));
        }
        let entered = path.iter().position(|(visited, _)| *visited == name);
        if let Some([(_, field), others @ ..]) = entered.and_then(|entered| path.get(entered..)) {
            let others: Vec<String> = others.iter().map(|(name, _)| backticked(name)).collect();
            field.get("fallback").unwrap_or(*field).report(report(&others));
        }
    }
}

/// The fallback of a service to another one.
struct Redirect<'a> {
    target: String,
    field: Field<'a>,
    is_checked: bool,
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
