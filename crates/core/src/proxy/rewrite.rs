//! Rewrites headers that contain a hostname: that of a server in responses, and the public host in
//! requests.
//!
//! An application that does not know its public name redirects to the hostname of the request, and
//! binds its cookies to that. The client would bypass the balancer from the first login on. So the
//! hostname of a server of the service is replaced by the public host. Other hosts are passed
//! through. Paths are mapped back, too: the server's base path, which was added to the request, is
//! removed, and the prefix that was stripped is added.
//!
//! WebDAV names a second resource by its URL, in `Destination` and `If`. A server compares it with
//! its own host, and rejects others. So the public host is replaced by that of the server.

use std::borrow::Cow;

use crate::proxy::host::{normalize_host, split_url, strip_port};
use crate::service::{HostHeader, Server, ServerUrl, Service, has_path_prefix};

/// The response headers that [`location`] rewrites.
pub const LOCATION_HEADERS: [&str; 2] = ["location", "content-location"];

/// Returns the `Location` or `Content-Location` of `server` for the client; `None` if it is
/// unchanged.
///
/// `scheme` and `authority` are the client's: `https` and `app.example.com`.
pub fn location(value: &str, server: &ServerUrl, service: &Service, scheme: &str, authority: &str) -> Option<String> {
    let same_host = value.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    if same_host {
        let path = public_path(value, server, service)?;
        // Browsers skip or replace some characters, and could read the path alone as
        // `//another-host/x`.
        let is_plain = !path.strip_prefix('/').is_some_and(|rest| rest.starts_with(['/', '\\', '\t']));
        return Some(if is_plain { path } else { format!("{scheme}://{authority}{path}") });
    }
    let absolute: Cow<'_, str> =
        if value.starts_with("//") { format!("{scheme}:{value}").into() } else { value.into() };
    let (protocol, host, rest) = split_url(&absolute)?;
    if !["http", "https"].iter().any(|web| protocol.eq_ignore_ascii_case(web)) {
        return None;
    }
    let host = normalize_host(host)?;
    // An application that knows its public host, but not its path.
    let is_public = service.strip_prefix.is_some() && normalize_host(authority).as_deref() == Some(&*host);
    let owner = owner(&host, server, service).or_else(|| is_public.then_some(server))?;
    let rest = public_path(rest, owner, service).unwrap_or_else(|| rest.to_owned());
    Some(format!("{scheme}://{authority}{rest}"))
}

/// Returns the server whose host this is. Its port need not match: an application behind a tunnel
/// or a proxy may put its own one into a URL.
fn owner<'a>(host: &str, server: &'a ServerUrl, service: &'a Service) -> Option<&'a ServerUrl> {
    let has_host = |server: &&Server| hosts(server).any(|own| normalize_host(own).as_deref() == Some(host));
    let is_name = |own: &str| strip_port(own).eq_ignore_ascii_case(strip_port(host));
    let find = |is_owner: &dyn Fn(&&Server) -> bool| Some(&service.servers().iter().find(is_owner)?.url);
    find(&has_host)
        .or_else(|| Some(server).filter(|url| is_name(url.authority())))
        .or_else(|| find(&|server| hosts(server).any(is_name)))
}

/// Returns the value of `Refresh`, such as `5; url=/login`, with the URL that `new` returns; `None`
/// if it is unchanged.
pub fn refresh(value: &str, new: impl Fn(&str) -> Option<String>) -> Option<String> {
    let separators = [';', ',', ' ', '\t'];
    let after_delay = value.get(value.find(separators)?..)?.trim_start_matches(separators);
    let url = match after_delay.split_once('=') {
        Some((name, url)) if name.trim_end().eq_ignore_ascii_case("url") => url.trim_start(),
        _ => after_delay,
    };
    let quote = url.chars().next().filter(|first| matches!(first, '"' | '\''));
    let url = quote.and_then(|quote| url.get(1..)?.split(quote).next()).unwrap_or(url);
    // `url` is a part of `value`.
    let start = url.as_ptr().addr() - value.as_ptr().addr();
    let (before, after) = (value.get(..start)?, value.get(start + url.len()..)?);
    Some([before, &new(url.trim_end())?, after].concat())
}

/// Returns a list with URLs in angle brackets, such as the value of `Link`, with the URLs that
/// `new` returns; `None` if it is unchanged. Quoted strings, and what is in parentheses, as the
/// state tokens of `If`, are kept.
pub(super) fn bracketed(value: &str, new: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut rewritten = String::new();
    let mut url: Option<String> = None;
    let (mut changed, mut quoted, mut escaped, mut depth) = (false, false, false, 0_usize);
    for c in value.chars() {
        match &mut url {
            Some(read) if c == '>' => {
                let new = new(read);
                changed |= new.is_some();
                rewritten.push_str(new.as_ref().unwrap_or(read));
                url = None;
            }
            Some(read) => {
                read.push(c);
                continue;
            }
            None => match c {
                '<' if !quoted && depth == 0 => url = Some(String::new()),
                '"' if !escaped => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
        escaped = quoted && c == '\\' && !escaped;
        rewritten.push(c);
    }
    (changed && url.is_none()).then_some(rewritten)
}

/// Returns the URL in a request for `server` that the client wrote for the public `authority`;
/// `None` if it is unchanged. Its host is the `Host` of the request.
pub fn destination(value: &str, server: &Server, service: &Service, authority: &str) -> Option<String> {
    let url = &server.url;
    if value.starts_with('/') && !value.starts_with("//") {
        let path = service.server_path(value);
        let path = [url.base_path(), if path.starts_with('/') { "" } else { "/" }, path].concat();
        return (path != value).then_some(path);
    }
    let (protocol, host, rest) = split_url(value)?;
    let is_web = ["http", "https"].iter().any(|web| protocol.eq_ignore_ascii_case(web));
    let is_public = normalize_host(host).is_some_and(|host| normalize_host(authority) == Some(host));
    let host = match &server.host_header {
        HostHeader::Server => url.authority(),
        HostHeader::Public => authority,
        HostHeader::Name(name) => name,
    };
    let target = url.target(service.server_path(rest));
    let (scheme, _, path) = split_url(&target)?;
    // Another path would be that of another resource of the server.
    let has_prefix = service.strip_prefix.as_deref().is_none_or(|prefix| has_path_prefix(rest, prefix));
    (is_web && is_public && has_prefix).then(|| format!("{scheme}://{host}{path}"))
}

/// Returns the `Set-Cookie` of `server` for the client; `None` if it is unchanged.
pub fn set_cookie(value: &str, server: &ServerUrl, service: &Service, authority: &str) -> Option<String> {
    let public = strip_port(authority);
    let mut changed = false;
    let mut parts = value.split(';').map(Cow::Borrowed).collect::<Vec<_>>();
    // Such a cookie is for all paths, or browsers reject it.
    let is_for_root = value.trim_start().get(..7).is_some_and(|name| name.eq_ignore_ascii_case("__Host-"));
    // The first part is the cookie itself, not an attribute.
    for part in parts.iter_mut().skip(1) {
        let Some((name, value)) = part.split_once('=') else { continue };
        let replacement = match name.trim().to_ascii_lowercase().as_str() {
            "domain" => {
                let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                let is_server = |host: &str| strip_port(host).eq_ignore_ascii_case(&domain);
                let mut hosts = service.servers().iter().flat_map(hosts);
                hosts.any(is_server).then(|| public.to_owned())
            }
            "path" if value.trim().starts_with('/') && !is_for_root => {
                let path = public_path(value.trim(), server, service);
                // A cookie for `/api/` would not be sent to `/api`.
                path.map(|path| if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path })
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *part = format!("{name}={replacement}").into();
            changed = true;
        }
    }
    changed.then(|| parts.join(";"))
}

/// Returns a path of `server` as clients request it; `None` if it is the same.
fn public_path(path: &str, server: &ServerUrl, service: &Service) -> Option<String> {
    let stripped = strip_base_path(path, server);
    let inner = stripped.as_deref().unwrap_or(path);
    match &service.strip_prefix {
        // An application that knows its public path already begins with it.
        Some(prefix) if !has_path_prefix(inner, prefix) => Some([prefix, inner].concat()),
        _ => stripped,
    }
}

/// Returns `path` without the server's base path; `None` if it is not below that path.
fn strip_base_path(path: &str, server: &ServerUrl) -> Option<String> {
    let base = Some(server.base_path()).filter(|base| !base.is_empty())?;
    let rest = path.strip_prefix(base)?;
    match rest.chars().next() {
        None => Some("/".to_owned()),
        Some('/') => Some(rest.to_owned()),
        Some('?' | '#') => Some(format!("/{rest}")),
        Some(_) => None,
    }
}

/// Returns the hosts by which an application may know itself: that of its URL, and the `Host` of
/// requests.
fn hosts(server: &Server) -> impl Iterator<Item = &str> {
    let named = if let HostHeader::Name(name) = &server.host_header { Some(name.as_str()) } else { None };
    [server.url.authority()].into_iter().chain(named)
}

#[cfg(test)]
mod tests;
