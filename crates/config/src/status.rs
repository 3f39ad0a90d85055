//! `status`: the status endpoint.

use tunnel_balancer_core::Service;
use tunnel_balancer_state::control::{CONTROL_PATH, Token};
use tunnel_balancer_state::{HealthSharing, PUSH_PATH};
use tunnel_balancer_status::StatusSettings;

use crate::diagnostic::Code;
use crate::host::PATH;
use crate::node::{Value, backticked, quoted};
use crate::platform::Platform;
use crate::primitives::{boolean, string};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::secret::{REFERENCE, secret};
use crate::value_schema::ValueSchema;

pub(crate) const SCHEMA: ValueSchema =
    ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Map(|| Setting::docs(KEYS))]);

const KEYS: &[Setting<StatusSettings>] = &[
    Setting::new(
        "path",
        "/__balancer",
        "The path of the page. The other paths are below it. Services do not get requests for them.",
        ValueSchema::String(PATH),
        |settings, field| field.set(&mut settings.path, path),
    ),
    Setting::new(
        "token",
        "",
        "The secret that shows everything, of at least 16 bytes: `\"${BALANCER_STATUS_TOKEN}\"`. The token of the \
         control API does, too.",
        ValueSchema::String(REFERENCE),
        |settings, field| settings.token = secret(field, "BALANCER_STATUS_TOKEN", Token::MIN_LEN),
    ),
    Setting::new(
        "public",
        "false",
        "Whether the titles of services, their states and their outages are shown without a token.",
        ValueSchema::Boolean,
        |settings, field| field.set(&mut settings.public, boolean),
    ),
];

/// Returns whether a value configures the endpoint.
pub(crate) const fn is_enabled(field: Field<'_>) -> bool {
    !matches!(field.value(), Value::Bool(false))
}

/// Reads `false` or a map.
pub(crate) fn status(field: Field<'_>) -> Option<StatusSettings> {
    const EXPECTED: &str = "`false`, or a map such as `{ public: true }`";
    if !is_enabled(field) {
        return None;
    }
    if let Value::Bool(_) | Value::String(_) = field.value() {
        // A string may be a token.
        let report = Report::wrong_type_redacted(EXPECTED, field.value());
        field.report(report.hint("write `status: { token: \"${BALANCER_STATUS_TOKEN}\" }` or `{ public: true }`"));
        return None;
    }
    let mut settings = StatusSettings::default();
    field.map(EXPECTED)?.read_into(&mut settings, KEYS);
    Some(settings)
}

/// Warns about a page without a reader, without a history, or at the path of a service.
pub(crate) fn check(field: Field<'_>, settings: &StatusSettings, sharing: HealthSharing, services: &[Service]) {
    let path = &settings.path;
    for service in services.iter().filter(|service| is_below(path, &service.path)) {
        let message = format!("{} gets no requests: the status page has this path", backticked(&service.name()));
        let hint = "set `path` of `status` to a path that no service has";
        field.get("path").unwrap_or(field).report(Report::new(Code::Unreachable, message).hint(hint));
    }
    if settings.token.is_none() && !settings.public && field.is_valid() {
        let message = "only the token of the control API opens the status page";
        let hint = "write `token: \"${BALANCER_STATUS_TOKEN}\"`, or `public: true` for states without a token";
        field.report(Report::new(Code::NoEffect, message).hint(hint));
    }
    let is_worker = !field.may_run_on(Platform::Serve);
    if is_worker && !matches!(sharing, HealthSharing::DurableObject | HealthSharing::Kv) {
        let message =
            format!("the status page of the Worker has no history with `health_sharing: {}`", sharing.as_str());
        let hint = "set `health_sharing: durable_object` or `kv` to see past outages";
        field.report(Report::new(Code::NoEffect, message).hint(hint));
    }
}

fn path(value: &Value<'_>) -> Result<String, Report> {
    let text = string(value, "a path such as `/__balancer`")?;
    let path = text.strip_suffix('/').unwrap_or(text);
    if [CONTROL_PATH, PUSH_PATH].iter().any(|used| is_below(used, path)) {
        let report = Report::new(Code::InvalidValue, format!("{} cannot be the path of the page", quoted(text)));
        return Err(report.hint("choose another one: the control API and monitors use it"));
    }
    if path.starts_with('/') && Service::is_path(path) {
        return Ok(path.to_owned());
    }
    let message = format!("expected a path such as `/__balancer`, found {}", quoted(text));
    Err(Report::new(Code::InvalidValue, message))
}

/// Returns whether a path is `prefix` or below it.
fn is_below(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
