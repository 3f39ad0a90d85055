//! The address of a server.

use tunnel_balancer_core::{ServerUrl, ServerUrlError, domain_to_ascii};
use url::Url;

pub(crate) const SEEDS: &[&str] = &[
    "A.Example",
    " a.example. ",
    "HTTP://a.example:080/",
    "http://\\\\a.example:443\\base\\",
    "https:///a.example:",
    "https:/\n/a.example",
    "https:/a.example",
    "https//a.example",
    "http:",
    "a.example,b.example:443",
    "a.example:0",
    "a..example",
    ".",
    "a.example:8443/A/./b/../%2E%2e/c//",
    "a.example/a//../b/.%2e/../..//c/.",
    "a.example/\u{fc} \"%7e{}|^`<>[]'",
    "a_b-c.%45xample%",
    "B%C3%BCcher.example",
    "B\u{fc}cher.example:443",
    "xn--bcher-kva.example",
    "xn--a.example",
    "\u{ff11}27.1:80",
    "0x7f.0.0.01",
    "2130706433.",
    "1.0x",
    "1.2.3.08",
    "1.2.3.4.5",
    "0xffffffff.0x100000000",
    "0xffffffffffffffffffff",
    "[0:0::1]:8080",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[1:0:0:2::3]",
    "[::1",
    "a:65536",
    "a:+1",
    "a:1:2",
    "ftp://a.example",
    "a/b://c",
    "https://user:password@a.example",
    "a.example/b?c#d",
];

/// Checks that the address of a server is parsed as by the `url` crate, which implements the URL
/// Standard. An empty user name, an empty label, a comma in the host, the port 0 and `https//a` are
/// accepted by that crate alone. It also keeps `c:` of `/c:/..`, which the standard does for files
/// alone.
pub fn address(text: &str) {
    let plain = text.replace(['\t', '\n', '\r'], "");
    let is_drive = |part: &str| part.len() == 2 && part.ends_with([':', '|']);
    if plain.split(['/', '\\']).any(is_drive) {
        return;
    }
    let plain = plain.trim();
    let is_cut =
        ["http//", "https//"].iter().any(|start| plain.starts_with(start)) || matches!(plain, "http:" | "https:");
    let with_scheme = if plain.contains("://") {
        plain.to_owned()
    } else if is_cut || plain.contains(":/") || plain.contains(":\\") {
        "no separator".to_owned()
    } else {
        format!("https://{plain}")
    };
    let expected = Url::parse(&with_scheme).ok().filter(|url| {
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let is_web = matches!(url.scheme(), "https" | "http");
        let host = url.host_str().unwrap_or_default();
        let has_empty_label = host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty);
        let is_reachable = url.port() != Some(0) && !has_empty_label;
        is_web && is_reachable && !has_credentials && url.query().is_none() && url.fragment().is_none()
    });
    let parsed = ServerUrl::parse_with(text, &domain_to_ascii);
    if !matches!(parsed, Err(ServerUrlError::Credentials | ServerUrlError::List)) {
        let expected = expected.map(|url| url.as_str().trim_end_matches('/').to_owned());
        assert_eq!(parsed.ok().map(|url| url.to_string()), expected, "{text:?}");
    }
}
