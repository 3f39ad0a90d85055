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
use crate::service::ServerUrl;
use crate::service::{Service, has_path_prefix};

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
    let urls = || service.servers().iter().map(|server| &server.url);
    let has_host = |url: &&ServerUrl| normalize_host(url.authority()).as_deref() == Some(host);
    let has_name = |url: &&ServerUrl| strip_port(url.authority()) == strip_port(host);
    urls().find(has_host).or_else(|| Some(server).filter(has_name)).or_else(|| urls().find(has_name))
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
pub fn bracketed(value: &str, new: impl Fn(&str) -> Option<String>) -> Option<String> {
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
/// `None` if it is unchanged.
pub fn destination(value: &str, server: &ServerUrl, service: &Service, authority: &str) -> Option<String> {
    if value.starts_with('/') && !value.starts_with("//") {
        let path = service.server_path(value);
        let path = [server.base_path(), if path.starts_with('/') { "" } else { "/" }, path].concat();
        return (path != value).then_some(path);
    }
    let (protocol, host, rest) = split_url(value)?;
    let is_web = ["http", "https"].iter().any(|web| protocol.eq_ignore_ascii_case(web));
    let is_public = normalize_host(host).is_some_and(|host| normalize_host(authority) == Some(host));
    (is_web && is_public).then(|| server.target(service.server_path(rest)))
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
                let is_server = service.servers().iter().any(|server| strip_port(server.url.authority()) == domain);
                is_server.then(|| public.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Server;

    fn service() -> Service {
        let servers = ["https://a.example", "http://b.example:8080/base"].map(|url| Server::new(url.parse().unwrap()));
        Service::new("app.test", servers.to_vec()).unwrap()
    }

    #[test]
    fn hdr_13_locations_with_a_servers_host_get_the_public_host() {
        let service = service();
        let [a, b] = service.servers() else { panic!("two servers") };
        let table = [
            (a, "https://a.example/login?next=%2Fx#top", Some("https://app.test/login?next=%2Fx#top")),
            (a, "http://A.Example.:443/x", Some("https://app.test/x")),
            (a, "https://a.example", Some("https://app.test")),
            (a, "//a.example/x", Some("https://app.test/x")),
            (a, "http://b.example:8080/base/x", Some("https://app.test/x")),
            (a, "http://b.example:8080/basement", Some("https://app.test/basement")),
            (a, "http://b.example/base/x", Some("https://app.test/x")),
            (a, "http://a.example:8080/x", Some("https://app.test/x")),
            (a, "http://a.example:80800/x", None),
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
            // Without the base path, browsers would resolve these to another host.
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
    fn a_stripped_prefix_is_added_to_locations_and_cookie_paths() {
        let mut service = service();
        service.strip_prefix = Some("/api".to_owned());
        let [a, b] = service.servers() else { panic!("two servers") };
        let locations = [
            (a, "/login?next=/x", Some("/api/login?next=/x")),
            (a, "/", Some("/api/")),
            (a, "/apix", Some("/api/apix")),
            (a, "/api/login", None),
            (a, "/api", None),
            (a, "login", None),
            (a, "https://a.example", Some("https://app.test/api")),
            (a, "https://a.example?x", Some("https://app.test/api?x")),
            (a, "http://A.example/login", Some("https://app.test/api/login")),
            (a, "http://a.example/api/login", Some("https://app.test/api/login")),
            (a, "http://APP.test:80/login", Some("https://app.test/api/login")),
            (a, "//app.test/login", Some("https://app.test/api/login")),
            (a, "https://elsewhere.example/", None),
            (a, "/\\evil.example/", None),
            (b, "/base/login", Some("/api/login")),
            (b, "/base", Some("/api/")),
            (b, "/base//evil.example/", Some("/api//evil.example/")),
            (b, "https://app.test/base/login", Some("https://app.test/api/login")),
        ];
        for (server, value, expected) in locations {
            let rewritten = location(value, &server.url, &service, "https", "app.test");
            assert_eq!(rewritten.as_deref(), expected, "{value}");
        }
        let cookies = [
            (a, "s=1; Path=/", Some("s=1; Path=/api")),
            (a, "s=1; Path=/admin/", Some("s=1; Path=/api/admin")),
            (a, "s=1; Path=/api", None),
            (a, "s=1", None),
            (a, "s=1; Path=", None),
            (a, "__Host-s=1; Secure; Path=/", None),
            (b, "s=1; Path=/base", Some("s=1; Path=/api")),
        ];
        for (server, value, expected) in cookies {
            let rewritten = set_cookie(value, &server.url, &service, "app.test");
            assert_eq!(rewritten.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn hdr_16_destinations_with_the_public_host_get_the_servers() {
        let service = service();
        let [a, b] = service.servers() else { panic!("two servers") };
        let table = [
            (a, "https://app.test/b%20c?x", Some("https://a.example/b%20c?x")),
            (a, "HTTP://APP.test.:80/b", Some("https://a.example/b")),
            (b, "https://app.test/b", Some("http://b.example:8080/base/b")),
            (b, "https://app.test", Some("http://b.example:8080/base/")),
            (b, "/b", Some("/base/b")),
            (a, "/b", None),
            (b, "//other.test/b", None),
            (a, "https://other.test/b", None),
            (a, "https://app.test:8443/b", None),
            (a, "https://user@app.test/b", None),
            (a, "ftp://app.test/b", None),
            (a, "", None),
        ];
        for (server, value, expected) in table {
            let rewritten = destination(value, &server.url, &service, "app.test:443");
            assert_eq!(rewritten.as_deref(), expected, "{value}");
        }
        let mut service = service.clone();
        service.strip_prefix = Some("/api".to_owned());
        for (server, expected) in [(a, "https://a.example/b"), (b, "http://b.example:8080/base/b")] {
            let rewritten = destination("https://app.test/api/b", &server.url, &service, "app.test");
            assert_eq!(rewritten.as_deref(), Some(expected));
        }
        for (value, expected) in [("/api/b", "/base/b"), ("/api", "/base/")] {
            assert_eq!(destination(value, &b.url, &service, "app.test").as_deref(), Some(expected));
        }
    }

    #[test]
    fn hdr_18_the_url_of_a_refresh_is_rewritten() {
        let new = |url: &str| (url == "/a").then(|| "/b".to_owned());
        let table = [
            ("0; url=/a", Some("0; url=/b")),
            ("5;URL = /a", Some("5;URL = /b")),
            ("5,/a", Some("5,/b")),
            ("5 /a", Some("5 /b")),
            ("0;url='/a'", Some("0;url='/b'")),
            ("0;url=\"/a\"; x", Some("0;url=\"/b\"; x")),
            ("0;url=\"/a", Some("0;url=\"/b")),
            ("0;url=/c", None),
            ("0", None),
            ("0;", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(refresh(value, new).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn hdr_19_urls_in_brackets_are_rewritten() {
        let new = |url: &str| (url == "/a").then(|| "/b".to_owned());
        let table = [
            ("</a>; rel=\"next\", </c>, </a>", Some("</b>; rel=\"next\", </c>, </b>")),
            ("</a>; title=\"</a> \\\"</a>\"", Some("</b>; title=\"</a> \\\"</a>\"")),
            ("</a> (</a> [\"</a>\"]) </a>(Not </a>)", Some("</b> (</a> [\"</a>\"]) </b>(Not </a>)")),
            ("(</a>)", None),
            ("</a", None),
            ("</a>, </a", None),
            ("/a", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(bracketed(value, new).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn hdr_14_cookies_for_a_servers_host_get_the_public_host() {
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
