//! The services of rules.

use crate::redact::redact_urls;

/// The kind of a rule's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressTarget {
    /// An application that speaks HTTP.
    Application,
    /// A status from cloudflared itself.
    Status,
    /// Another protocol, such as SSH, or a proxy.
    Other,
}

/// Returns the kind of a service such as `http://localhost:8080`.
///
/// # Errors
/// With the reason for which cloudflared rejects it.
pub fn ingress_target(service: &str) -> Result<IngressTarget, String> {
    classify(service, false)
}

/// Returns the same for a rule in which `bastionMode` may hold.
pub(super) fn classify(service: &str, bastion: bool) -> Result<IngressTarget, String> {
    if service.starts_with("unix:") || service.starts_with("unix+tls:") {
        return Ok(IngressTarget::Application);
    }
    if let Some(status) = service.strip_prefix("http_status:") {
        let is_status = status.parse::<i64>().is_ok_and(|status| (100..=999).contains(&status));
        return if is_status {
            Ok(IngressTarget::Status)
        } else {
            Err(format!("expected a status from 100 to 999, found {service}"))
        };
    }
    match service {
        "hello_world" | "hello-world" => Ok(IngressTarget::Application),
        "socks-proxy" | "bastion" => Ok(IngressTarget::Other),
        _ if bastion => Ok(IngressTarget::Other),
        _ => {
            let reason = |reason| format!("the service {:?} {reason}", redact_urls(service));
            match scheme(service).map_err(reason)?.as_str() {
                "http" | "https" | "ws" | "wss" => Ok(IngressTarget::Application),
                _ => Ok(IngressTarget::Other),
            }
        }
    }
}

const NO_HOST: &str = "has no scheme and host, as in http://localhost:8080";

/// Returns the scheme of a URL, in lower case. The URL is checked as Go's `net/url` parses it, and
/// must have a host and no path.
fn scheme(url: &str) -> Result<String, &'static str> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("has a control character");
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let is_escaped = |rest: &str| rest.get(..2).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !fragment.split('%').skip(1).all(is_escaped) {
        return Err("has an invalid escape sequence");
    }
    let (scheme, rest) = url.split_once(':').ok_or(NO_HOST)?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest = rest.strip_prefix("//").filter(|_| is_scheme).ok_or(NO_HOST)?;
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte)) {
        return Err("has a user name with an invalid character");
    }
    if name(host)?.is_empty() {
        return Err(NO_HOST);
    }
    if path.is_empty() {
        Ok(scheme.to_ascii_lowercase())
    } else {
        Err("has a path, but cloudflared keeps the path of the request")
    }
}

/// Returns the host without its port.
fn name(host: &str) -> Result<&str, &'static str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("has an address without a closing `]`")?;
        (host.get(1..end).unwrap_or_default(), host.get(end + 1..).unwrap_or_default())
    } else {
        host.split_at_checked(host.rfind(':').unwrap_or(host.len())).unwrap_or((host, ""))
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("has a port that is not a number");
    }
    let is_valid = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(c);
    // The zone of an IPv6 address follows `%25`.
    let without_zone = if host.starts_with('[') { name.replacen("%25", "", 1) } else { name.to_owned() };
    if without_zone.chars().all(is_valid) { Ok(name) } else { Err("has a host with an invalid character") }
}
