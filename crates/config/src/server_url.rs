//! The address of a server: a hostname, `host:port` or a URL.

use tunnel_balancer_core::host::normalize_host;
use tunnel_balancer_core::{ServerUrl, ServerUrlError};

use crate::diagnostic::Code;
use crate::host::{PublicHosts, is_well_formed, port_error};
use crate::node::{Value, backticked};
use crate::primitives::string;
use crate::reader::Field;
use crate::report::Report;
use crate::slips;
use crate::value_schema::StringSchema;

pub(crate) const ADDRESS: StringSchema = StringSchema {
    what: "a hostname or URL",
    pattern: r"^([Hh][Tt][Tt][Pp][Ss]?://+)?(\[[^\s\]]*\]|[^\s\\/?#@*:\[\]]+)(:[0-9]+)?(/[^\s\\?#]*)?$",
    longest: None,
};

const EXAMPLES: &str = "write `chat-a.example.com`, `chat-a.example.com:8443` or `http://127.0.0.1:8080`";

/// Reads the address of a server, which is not one of the public hosts.
pub(crate) fn server_url(field: Field<'_>, public: &PublicHosts) -> Option<ServerUrl> {
    field.read(|value| url(value, public, &|name| field.to_ascii(name)))
}

fn url(
    value: &Value<'_>,
    public: &PublicHosts,
    to_ascii: &dyn Fn(&str) -> Option<String>,
) -> Result<ServerUrl, Report> {
    let text = string(value, "a hostname or URL")?;
    if let Some(hint) = typing_error(text) {
        return Err(Report::new(Code::InvalidUrl, "not a hostname or URL").hint(hint));
    }
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if let Some((message, hint)) = slips::in_host(authority) {
        return Err(Report::new(Code::InvalidUrl, format!("the hostname {message}")).hint(hint));
    }
    if let Some((message, hint)) = port_error(authority) {
        return Err(Report::new(Code::InvalidUrl, format!("the address {message}")).hint(hint));
    }
    let url = ServerUrl::parse_with(text, to_ascii).map_err(|error| malformed(&error))?;
    let Some(host) = normalize_host(url.authority()).filter(|host| is_well_formed(host)) else {
        let report = Report::new(Code::InvalidUrl, format!("{} is not a hostname", backticked(url.authority())));
        let wildcard = "write one full hostname: wildcards are not supported";
        return Err(report.hint(if text.contains('*') { wildcard } else { EXAMPLES }));
    };
    if let Some(service) = public.host(&host) {
        let report = Report::new(Code::Loop, format!("the server {} is a public host of this file", backticked(&host)));
        let hint = "give the tunnel a hostname of its own: requests to a public host return to this balancer";
        return Err(report.related(service, "the public host").hint(hint));
    }
    Ok(url)
}

/// Returns the hint for a string that must not be parsed as an address.
fn typing_error(text: &str) -> Option<String> {
    let hint = |hint: &str| Some(hint.to_owned());
    if let Some(look_alike) = slips::look_alike(text) {
        return hint(look_alike);
    }
    if slips::has_bullet(text) {
        return hint(slips::BULLET);
    }
    if text.starts_with('[') && text.ends_with(']') && text.contains('.') {
        return hint("remove the quotes around the list");
    }
    if slips::is_item(text) {
        return hint("add a space after the `-` of the item");
    }
    if text.contains([',', ' ']) && !text.contains('@') {
        let hosts: Vec<&str> = text.split([',', ' ']).filter(|host| !host.is_empty()).collect();
        let is_list =
            hosts.len() > 1 && hosts.iter().all(|host| host.contains('.') && host.parse::<ServerUrl>().is_ok());
        return hint(&if is_list { format!("write a list: `[{}]`", hosts.join(", ")) } else { EXAMPLES.to_owned() });
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return hint("remove spaces and backslashes: each server is a separate item of the list");
    }
    // As `host:port/path`, `https:/chat-a.example.com` would be a server on the host `https`.
    let scheme = text.split([':', '/']).next().filter(|scheme| matches!(*scheme, "http" | "https"));
    if let Some((scheme, rest)) = scheme.and_then(|scheme| Some((scheme, text.strip_prefix(scheme)?)))
        && !rest.starts_with("://")
        && !rest.is_empty()
    {
        let host = rest.trim_start_matches([':', '/']);
        return Some(if host.contains('@') { EXAMPLES.to_owned() } else { format!("write `{scheme}://{host}`") });
    }
    if !text.contains("://") && text.contains(":/") { hint(EXAMPLES) } else { None }
}

/// Returns the report of a malformed URL, without the URL, which may contain a password.
fn malformed(error: &ServerUrlError) -> Report {
    let hint = match error {
        ServerUrlError::Scheme(_) => "use `https` or `http`",
        ServerUrlError::Credentials => "remove the part before the `@`",
        ServerUrlError::Query => "remove the query: each request has its own",
        ServerUrlError::Fragment => "remove the fragment: it is never sent",
        _ => EXAMPLES,
    };
    Report::new(Code::InvalidUrl, error.to_string()).hint(hint)
}
