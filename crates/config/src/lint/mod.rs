//! Warnings about valid settings that have no effect, or an unintended one.
//!
//! A false warning makes users ignore all of them. So each warning is certain, or its subject is
//! costly. A setting of `defaults` is not reported for having no effect in one service.

mod address;
mod no_effect;
mod protocols;

use tunnel_balancer_core::{RetrySettings, Server, ServerUrl, Service, Writes};

use crate::diagnostic::Code;
use crate::duration::format_duration;
use crate::platform::Platform;
use crate::reader::Field;
use crate::report::Report;
use crate::subrequests::{MAX_SUBREQUESTS, Subrequests};

/// A service with the fields that it was read from.
struct Source<'s, 'f> {
    service: &'s Service,
    /// The servers with their items of the list.
    servers: Vec<(&'s Server, Field<'f>)>,
    /// The service as a whole.
    field: Field<'f>,
}

/// Reports the warnings about a service. `field` is the service as a whole, `list` its servers, and
/// `defaults` the settings of all services.
pub(crate) fn lint(service: &Service, field: Field<'_>, list: Field<'_>, defaults: Option<Field<'_>>) {
    let items = list.one_or_many();
    if items.len() != service.servers().len() || !field.is_valid() {
        return;
    }
    let servers = service.servers().iter().zip(items).collect();
    let source = Source { service, servers, field };
    for (server, item) in &source.servers {
        let at = item.get("url").unwrap_or(*item);
        address::lint(&server.url, at, "write `https://`, or the hostname alone");
    }
    no_effect::lint(&source);
    protocols::lint(&source);
    primary(&source);
    held_requests(&source, defaults);
}

/// Reports the warnings about the public address of a service. `name` is its normal form.
pub(crate) fn lint_public(name: &str, field: Field<'_>) {
    address::lint_public(name, field);
}

/// Reports the warnings about an address that requests are sent to. `field` has it as written.
pub(crate) fn lint_address(url: &ServerUrl, field: Field<'_>) {
    address::lint(url, field, "write `https://`");
}

/// Returns whether a server gets new clients.
const fn is_accepting(server: &Server) -> bool {
    server.enabled && !server.drain && server.weight > 0
}

/// Warns of a primary that gets no requests.
fn primary(source: &Source<'_, '_>) {
    let Source { service, servers, field } = source;
    let Some((first, item)) = servers.first().filter(|_| service.writes == Writes::PrimaryOnly) else { return };
    let keeps_clients = first.enabled && service.affinity.is_some();
    if is_accepting(first) || keeps_clients {
        return;
    }
    let causes = [("enabled", !first.enabled), ("drain", first.drain), ("weight", first.weight == 0)];
    let cause = causes.into_iter().filter(|(_, is_cause)| *is_cause).find_map(|(name, _)| item.get(name));
    let message =
        "with `writes: primary_only`, requests with unsafe methods get 503: the first server gets no requests";
    let hint = "move a server that gets requests to the top of the list, or write `writes: anywhere`";
    let at = cause.or_else(|| field.get("writes")).unwrap_or(*item);
    at.report(Report::new(Code::NoWrites, message).hint(hint));
}

/// Warns of held requests that can make more subrequests than the free plan allows.
fn held_requests(source: &Source<'_, '_>, defaults: Option<Field<'_>>) {
    let subrequests = Subrequests::of(source.service);
    let is_limited = source.field.may_run_on(Platform::Worker);
    if !is_limited || subrequests.held == 0 || subrequests.total() <= MAX_SUBREQUESTS {
        return;
    }
    let settings = [Some(source.field), defaults].into_iter().flatten();
    let Some(at) = settings.filter_map(|map| map.get("retry")?.get("hold")).next() else { return };
    let total = subrequests.total();
    let message = format!(
        "a held request can make {total} subrequests, more than the {MAX_SUBREQUESTS} of Cloudflare's free plan: it \
         gets 503 at the limit"
    );
    let left = MAX_SUBREQUESTS.saturating_sub(total.saturating_sub(subrequests.held));
    let longest = RetrySettings::HOLD_INTERVAL.saturating_mul(left);
    let hint = if left > 0 {
        format!("set `hold` to {} or less", format_duration(longest))
    } else {
        "set `hold` to `false`".to_owned()
    };
    at.report(Report::new(Code::FreePlan, message).hint(hint));
}
