//! Splits URLs and normalizes hosts.
//!
//! The path is split off the URL as a string and never parsed. Parsing would rewrite it (`/a/../b`,
//! `/%2f`), and servers must get the bytes that the client sent.

use std::borrow::Cow;

/// Returns scheme, authority, and raw path with query of an absolute URL: `https`, `a.example:8443`
/// and `/x?y` for `https://a.example:8443/x?y`.
///
/// The path is empty if the URL has none. `None` if this is not an absolute URL.
pub fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at_checked(end)?;
    Some((scheme, authority, path_and_query))
}

/// The host of a service for all hosts that no other service has.
pub const ANY_HOST: &str = "*";

/// Returns the hosts of services that serve a normalized host, the most specific first: the host
/// itself, a wildcard for its first label, and [`ANY_HOST`].
pub fn host_patterns(host: &str) -> impl Iterator<Item = Cow<'_, str>> {
    // Most requests match the host itself, so the wildcard is made only when it is needed.
    let wildcard = host.split_once('.').into_iter().map(|(_, domain)| format!("*.{domain}").into());
    std::iter::once(host.into()).chain(wildcard).chain([ANY_HOST.into()])
}

/// Returns a host in the form that selects a service: in lower case, without a trailing
/// dot and without a default port.
///
/// `None` if this is not a host with an optional port.
pub fn normalize_host(authority: &str) -> Option<String> {
    // The colons in `[::1]` do not start a port.
    let port_at = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|bracket| *colon > bracket));
    let (host, port) = authority.split_at_checked(port_at.unwrap_or(authority.len()))?;
    // Lower case first: `\u{130}` becomes two characters, the second of which is not allowed in a
    // host. A final sigma is `\u{3c3}`, as in IDNA, so this is not `str::to_lowercase`.
    let host = host.strip_suffix('.').unwrap_or(host);
    let host: String =
        if host.is_ascii() { host.to_ascii_lowercase() } else { host.chars().flat_map(char::to_lowercase).collect() };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')),
    };
    if host.is_empty() || host.ends_with('.') || !is_host {
        return None;
    }
    match port.strip_prefix(':') {
        None | Some("" | "80" | "443") => Some(host),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok() => {
            Some(format!("{host}:{port}"))
        }
        Some(_) => None,
    }
}

/// Returns the authority without the port.
pub fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

/// Returns whether two hosts differ only by the port, by `www.` or by one typing error.
pub fn is_similar(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|host| host.strip_prefix("www.").unwrap_or(host));
    strip_port(a) == strip_port(b) || differ_by_one_error(a, b)
}

/// Returns whether one character is added, left out or replaced, or two neighbors are swapped.
fn differ_by_one_error(a: &str, b: &str) -> bool {
    let common = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| {
        a.zip(b).take_while(|(a, b)| a == b).count()
    };
    let (a_len, b_len) = (a.chars().count(), b.chars().count());
    let start = common(&mut a.chars(), &mut b.chars());
    let end = common(&mut a.chars().rev(), &mut b.chars().rev()).min(a_len.min(b_len) - start);
    match (a_len - start - end, b_len - start - end) {
        (0 | 1, 0 | 1) => true,
        (2, 2) => a.chars().skip(start).take(2).eq(b.chars().skip(start).take(2).collect::<Vec<_>>().into_iter().rev()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_without_being_parsed() {
        let table = [
            ("https://svc.example/a/../b?x=%2f", Some(("https", "svc.example", "/a/../b?x=%2f"))),
            ("https://svc.example//evil.example/x", Some(("https", "svc.example", "//evil.example/x"))),
            ("https://svc.example/\\evil.example/x", Some(("https", "svc.example", "/\\evil.example/x"))),
            ("https://svc.example\\@evil.example/", Some(("https", "svc.example", "\\@evil.example/"))),
            ("https://svc.example/http://evil.example/", Some(("https", "svc.example", "/http://evil.example/"))),
            ("http://svc.example:8443", Some(("http", "svc.example:8443", ""))),
            ("https://svc.example?q", Some(("https", "svc.example", "?q"))),
            ("/relative", None),
        ];
        for (url, expected) in table {
            assert_eq!(split_url(url), expected, "{url}");
        }
    }

    #[test]
    fn hosts_with_one_difference_are_similar() {
        let similar = [
            ("app.test", "app.test:8443"),
            ("app.test:1", "app.test:2"),
            ("www.app.test", "app.test"),
            ("app.tst", "app.test"),
            ("appp.test", "app.test"),
            ("axp.test", "app.test"),
            ("pap.test", "app.test"),
            ("[::1]:80", "[::1]"),
            ("a", ""),
        ];
        for (a, b) in similar {
            assert!(is_similar(a, b) && is_similar(b, a), "{a} {b}");
        }
        for (a, b) in [("app.test", "other.test"), ("ppa.test", "app.test"), ("aap.tst", "app.test"), ("ab", "")] {
            assert!(!is_similar(a, b) && !is_similar(b, a), "{a} {b}");
        }
    }

    #[test]
    fn hdr_10_case_trailing_dot_and_default_port_of_hosts_are_ignored() {
        let table = [
            ("SVC.Example.COM.", Some("svc.example.com")),
            ("svc.example.com:443", Some("svc.example.com")),
            ("\u{39f}\u{394}\u{39f}\u{3a3}-1.test", Some("\u{3bf}\u{3b4}\u{3bf}\u{3c3}-1.test")),
            ("svc.example.com.:80", Some("svc.example.com")),
            ("svc.example.com:", Some("svc.example.com")),
            ("svc.example.com:8443", Some("svc.example.com:8443")),
            ("[::1]:8787", Some("[::1]:8787")),
            ("[::1]", Some("[::1]")),
            ("svc.example.com..", None),
            ("..", None),
            ("\u{130}.example", None),
            ("", None),
            (".", None),
            ("user@svc.example.com", None),
            ("svc.example.com:port", None),
            ("svc.example.com:99999", None),
            ("svc example", None),
            ("a:b:80", None),
            ("[::1", None),
        ];
        for (authority, expected) in table {
            assert_eq!(normalize_host(authority).as_deref(), expected, "{authority}");
        }
    }
}
