//! Answers that name a server by its own hostname.
//!
//! An application that does not know its public name redirects to the one it was asked by, and binds its cookies to it. The
//! client would leave the balancer with the first login. So where a header names one of the service's servers, the public
//! host takes its place; what names anybody else is passed on as it is. A server's base path is taken off as well: it was
//! added on the way there.

use std::borrow::Cow;

use crate::proxy::host::{normalize_host, split_url};
use crate::server::ServerUrl;
use crate::service::Service;

/// Response headers that hold a URL to be looked at by [`location`].
pub const LOCATION_HEADERS: [&str; 2] = ["location", "content-location"];

/// A `Location` or `Content-Location` of `server` for the client, or `None` when it may stay as it is.
///
/// `scheme` and `authority` are the client's: `https` and `app.example.com`.
pub fn location(value: &str, server: &ServerUrl, service: &Service, scheme: &str, authority: &str) -> Option<String> {
    let same_host = value.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    if same_host {
        let path = without_base(value, server)?;
        // A path by itself would be read as `//another-host/x`, whatever a browser skips or replaces in it.
        let is_plain = !path.strip_prefix('/').is_some_and(|rest| rest.starts_with(['/', '\\', '\t']));
        return Some(if is_plain { path } else { format!("{scheme}://{authority}{path}") });
    }
    let absolute: Cow<'_, str> =
        if value.starts_with("//") { format!("{scheme}:{value}").into() } else { value.into() };
    let (protocol, named, rest) = split_url(&absolute)?;
    if !["http", "https"].iter().any(|web| protocol.eq_ignore_ascii_case(web)) {
        return None;
    }
    let host = normalize_host(named)?;
    let owner = service.servers().iter().map(|server| &server.url).find(|url| names(url, &host))?;
    let rest = without_base(rest, owner).unwrap_or_else(|| rest.to_owned());
    Some(format!("{scheme}://{authority}{rest}"))
}

/// A `Set-Cookie` of `server` for the client, or `None` when it may stay as it is.
pub fn set_cookie(value: &str, server: &ServerUrl, service: &Service, authority: &str) -> Option<String> {
    let public = host_of(authority);
    let mut changed = false;
    let mut parts = value.split(';').map(Cow::Borrowed).collect::<Vec<_>>();
    // The first part is the cookie itself, whatever it looks like.
    for part in parts.iter_mut().skip(1) {
        let Some((name, value)) = part.split_once('=') else { continue };
        let replacement = match name.trim().to_ascii_lowercase().as_str() {
            "domain" => {
                let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                let is_ours = service.servers().iter().any(|server| host_of(server.url.authority()) == domain);
                is_ours.then(|| public.to_owned())
            }
            "path" => without_base(value.trim(), server),
            _ => None,
        };
        if let Some(replacement) = replacement {
            *part = format!("{name}={replacement}").into();
            changed = true;
        }
    }
    changed.then(|| parts.join(";"))
}

/// `path` without the server's base path; `None` when it does not lie below it.
fn without_base(path: &str, server: &ServerUrl) -> Option<String> {
    let base = Some(server.base_path()).filter(|base| !base.is_empty())?;
    let rest = path.strip_prefix(base)?;
    match rest.chars().next() {
        None => Some("/".to_owned()),
        Some('/') => Some(rest.to_owned()),
        Some('?' | '#') => Some(format!("/{rest}")),
        Some(_) => None,
    }
}

fn names(url: &ServerUrl, host: &str) -> bool {
    normalize_host(url.authority()).as_deref() == Some(host)
}

/// Without the port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;

    fn service() -> Service {
        let servers = ["https://a.example", "http://b.example:8080/base"].map(|url| Server::new(url.parse().unwrap()));
        Service::new("app.test", servers.to_vec()).unwrap()
    }

    #[test]
    fn hdr_13_locations_that_name_a_server_name_the_public_host() {
        let service = service();
        let [a, b] = service.servers() else { panic!("two servers") };
        let table = [
            (a, "https://a.example/login?next=%2Fx#top", Some("https://app.test/login?next=%2Fx#top")),
            (a, "http://A.Example.:443/x", Some("https://app.test/x")),
            (a, "https://a.example", Some("https://app.test")),
            (a, "//a.example/x", Some("https://app.test/x")),
            (a, "http://b.example:8080/base/x", Some("https://app.test/x")),
            (a, "http://b.example:8080/basement", Some("https://app.test/basement")),
            (a, "http://b.example/base/x", None),
            (a, "https://elsewhere.example/a.example", None),
            (a, "https://a.example.evil.example/", None),
            (a, "/login", None),
            (a, "login", None),
            (a, "/\\a.example/", None),
            (a, "", None),
            (a, "mailto:root@a.example", None),
            (b, "/base/login?x", Some("/login?x")),
            (b, "/base", Some("/")),
            (b, "/base?x", Some("/?x")),
            (b, "/basement", None),
            // Without the base path a browser would take these for another host's.
            (b, "/base//evil.example/x", Some("https://app.test//evil.example/x")),
            (b, "/base/\\evil.example/x", Some("https://app.test/\\evil.example/x")),
            (b, "/base/\t/evil.example/x", Some("https://app.test/\t/evil.example/x")),
            (a, "app://a.example/x", None),
        ];
        for (server, value, expected) in table {
            let rewritten = location(value, &server.url, &service, "https", "app.test");
            assert_eq!(rewritten.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn hdr_14_cookies_bound_to_a_server_are_bound_to_the_public_host() {
        let service = service();
        let [a, b] = service.servers() else { panic!("two servers") };
        let table = [
            (a, "s=1; Domain=a.example; Secure", Some("s=1; Domain=app.test; Secure")),
            (a, "s=1;domain= .A.EXAMPLE", Some("s=1;domain=app.test")),
            (a, "s=1; Domain=b.example; Path=/", Some("s=1; Domain=app.test; Path=/")),
            (a, "s=1; Domain=example", None),
            (a, "domain=a.example; Path=/base", None),
            (a, "s=1; HttpOnly", None),
            (b, "s=1; Path=/base/admin", Some("s=1; Path=/admin")),
            (b, "s=1; Path=/base", Some("s=1; Path=/")),
        ];
        for (server, value, expected) in table {
            let rewritten = set_cookie(value, &server.url, &service, "app.test:8443");
            assert_eq!(rewritten.as_deref(), expected, "{value}");
        }
    }
}
