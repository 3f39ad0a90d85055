//! From a YAML document to rules.

use crate::diagnostic::Code;
use crate::node::{NodeId, Value, quoted};
use crate::reader::Field;
use crate::report::Report;

use super::{Ingress, IngressRule};

/// Returns the rules, and for each a node on its line.
pub(super) fn ingress(root: Field<'_>) -> Option<(Ingress, Vec<NodeId>)> {
    root.map("cloudflared's configuration: a map with the key `ingress`")?;
    if let Some(report) = api_error(root) {
        root.report(report);
        return None;
    }
    // The API's response has the configuration in `result.config`.
    let result = root.get("result").unwrap_or(root);
    let tunnel = string_at(result, "tunnel").or_else(|| string_at(result, "tunnel_id"));
    let config = result.get("config").filter(|config| find(*config, "ingress").is_some()).unwrap_or(result);
    let defaults = OriginRequest::of(config);
    let read = match find(config, "ingress") {
        Some(rules) => {
            let Value::List(_) = rules.value() else {
                rules.report(Report::wrong_type("a list of rules", rules.value()));
                return None;
            };
            rules.one_or_many().into_iter().filter_map(|field| rule(field, &defaults)).collect()
        }
        None => vec![only_rule(config)?],
    };
    let (rules, places) = read.into_iter().unzip();
    Some((Ingress { tunnel, rules }, places))
}

/// Returns the report of an error response of the API.
fn api_error(root: Field<'_>) -> Option<Report> {
    let Value::Bool(false) = root.get("success")?.value() else { return None };
    let errors = root.get("errors").map(Field::one_or_many).unwrap_or_default();
    let message = errors.into_iter().find_map(|error| match error.get("message")?.value() {
        Value::String(message) => Some(format!(": {}", quoted(message))),
        _ => None,
    });
    let message = format!("the file is an error response of the API{}", message.unwrap_or_default());
    let hint = "check the token and the IDs of the account and the tunnel, and save the response again";
    Some(Report::new(Code::InvalidValue, message).hint(hint))
}

/// Returns the rule of a file without `ingress`, in which one service gets every request.
fn only_rule(config: Field<'_>) -> Option<(IngressRule, NodeId)> {
    let flag = |name| find(config, name).filter(|field| is_true(*field));
    let (field, service) = if let Some(field) = flag("hello-world") {
        (field, "hello_world".to_owned())
    } else if let Some(field) = flag("bastion") {
        (field, "bastion".to_owned())
    } else if let Some(field) = find(config, "url") {
        (field, origin(&field.read(string)?))
    } else if let Some(field) = find(config, "unix-socket") {
        (field, format!("unix:{}", field.read(string)?))
    } else {
        let report = Report::new(Code::MissingKey, "missing key `ingress`");
        config.report(report.hint(
            "add `ingress:` with the rule `- service: http_status:404`; for a tunnel that is configured in the \
             dashboard, save the API's response (`/accounts/ACCOUNT/cfd_tunnel/TUNNEL/configurations`)",
        ));
        return None;
    };
    let rule = IngressRule {
        hostname: None,
        path: None,
        service,
        http_host_header: string_at(config, "http-host-header").filter(|header| !header.is_empty()),
        line: 1,
        bastion: false,
    };
    Some((rule, field.node().id))
}

/// Returns the service for `url`: its scheme is `http` by default, and its path is ignored.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
}

fn rule(field: Field<'_>, defaults: &OriginRequest) -> Option<(IngressRule, NodeId)> {
    field.map("a rule: a map with the key `service`")?;
    let OriginRequest { http_host_header, bastion } = OriginRequest::of(field).or(defaults);
    let bastion = bastion.unwrap_or(false);
    let service = match find(field, "service") {
        Some(service) => service.read(string)?,
        None if bastion => "bastion".to_owned(),
        None => {
            let report = Report::new(Code::MissingKey, "missing key `service`");
            field.report(report.hint("write where the application listens: `service: http://localhost:8080`"));
            return None;
        }
    };
    let filled = |name| string_at(field, name).filter(|text| !text.is_empty());
    let rule = IngressRule {
        hostname: filled("hostname").filter(|hostname| hostname != "*"),
        path: filled("path"),
        service,
        http_host_header: http_host_header.filter(|header| !header.is_empty()),
        line: 1,
        bastion,
    };
    Some((rule, first_key(field)))
}

/// The settings of `originRequest` that have an influence here. An empty header is one, too.
#[derive(Clone, Default)]
struct OriginRequest {
    http_host_header: Option<String>,
    bastion: Option<bool>,
}

impl OriginRequest {
    fn of(field: Field<'_>) -> Self {
        let Some(settings) = find(field, "originRequest") else { return Self::default() };
        if settings.map("a map").is_none() {
            return Self::default();
        }
        Self {
            http_host_header: string_at(settings, "httpHostHeader"),
            bastion: find(settings, "bastionMode").map(is_true),
        }
    }

    fn or(self, defaults: &Self) -> Self {
        Self {
            http_host_header: self.http_host_header.or_else(|| defaults.http_host_header.clone()),
            bastion: self.bastion.or(defaults.bastion),
        }
    }
}

/// Returns the value of a key, from the map itself or from the maps that `<<` merges into it.
/// `null` is none.
fn find<'a>(map: Field<'a>, name: &str) -> Option<Field<'a>> {
    let own = map.get(name).or_else(|| map.get("<<")?.one_or_many().into_iter().find_map(|merged| find(merged, name)));
    own.filter(|field| !matches!(field.value(), Value::Null))
}

fn string_at(map: Field<'_>, name: &str) -> Option<String> {
    find(map, name)?.read(string)
}

/// Returns any scalar, as its string.
fn string(value: &Value<'_>) -> Result<String, Report> {
    match value {
        Value::String(text) => Ok(text.clone().into_owned()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Integer(value) => Ok(value.to_string()),
        Value::OtherNumber(value) => Ok(value.clone()),
        _ => Err(Report::wrong_type("a string", value)),
    }
}

fn is_true(field: Field<'_>) -> bool {
    match field.value() {
        Value::Bool(value) => *value,
        // The words of YAML 1.1, which Go's decoder also takes for a boolean.
        Value::String(text) => ["y", "yes", "on"].contains(&text.to_lowercase().as_str()),
        _ => false,
    }
}

/// Returns the first key of a map, which costs less to locate than the map.
fn first_key(field: Field<'_>) -> NodeId {
    match field.value() {
        Value::Map(entries) => entries.first().map_or_else(|| field.node().id, |(key, _)| key.id),
        _ => field.node().id,
    }
}
