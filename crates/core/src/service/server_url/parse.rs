//! Parses the address of a server as browsers and runtimes do, by the URL Standard of the WHATWG.
//!
//! A library would also parse all other URLs, and bring tables of Unicode that make up a seventh of
//! a Worker. So internationalized hostnames are converted by a function of the host. A property
//! compares this parser with the `url` crate.

use std::borrow::Cow;
use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ServerUrl, ServerUrlError};

/// Parses `host`, `host:port` or an absolute URL. The default scheme is `https`. With `any_scheme`,
/// other schemes than `http` and `https` are accepted with a port.
pub(super) fn parse(
    text: &str,
    any_scheme: bool,
    to_ascii: &dyn Fn(&str) -> Option<String>,
) -> Result<ServerUrl, ServerUrlError> {
    let text = text.trim().replace(['\t', '\n', '\r'], "");
    let text = if text.contains(ServerUrl::SEPARATOR) {
        text
    } else if text.contains(":/") || text.contains(":\\") || is_cut(&text) {
        return Err(ServerUrlError::Separator);
    } else {
        format!("https://{text}")
    };
    let (scheme, rest) = text.trim_matches(|c| c <= ' ').split_once(':').ok_or(ServerUrlError::NoScheme)?;
    let scheme = self::scheme(scheme)?;
    let rest = rest.trim_start_matches(['/', '\\']);
    let (authority, rest) =
        rest.split_at_checked(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    let is_http = matches!(scheme.as_str(), "http" | "https");
    if !is_http && !any_scheme {
        return Err(ServerUrlError::Scheme(scheme));
    }
    if authority.contains('@') {
        return Err(ServerUrlError::Credentials);
    }
    if authority.contains(',') {
        return Err(ServerUrlError::List);
    }
    if let Ok(address) = authority.parse() {
        return Err(ServerUrlError::Ipv6Brackets(address));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| is_number(port, 10));
    if !is_http && !has_port {
        return Err(ServerUrlError::MissingPort(scheme));
    }
    let authority = self::authority(authority, &scheme, to_ascii)?;
    if let Some(end) = rest.find(['?', '#']) {
        let is_query = rest.get(end..).is_some_and(|rest| rest.starts_with('?'));
        return Err(if is_query { ServerUrlError::Query } else { ServerUrlError::Fragment });
    }
    let path = base_path(rest);
    Ok(ServerUrl {
        prefix: [&scheme, ServerUrl::SEPARATOR, &authority, &path].concat(),
        scheme_len: scheme.len(),
        authority_len: authority.len(),
    })
}

/// Returns whether a URL without `://` would be a server on the host `http` or `https`.
fn is_cut(text: &str) -> bool {
    let rest = text.strip_prefix("https").or_else(|| text.strip_prefix("http"));
    rest.is_some_and(|rest| rest == ":" || rest.starts_with("//"))
}

fn scheme(text: &str) -> Result<String, ServerUrlError> {
    let scheme = text.to_ascii_lowercase();
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match scheme.as_str() {
        _ if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_scheme) => Ok(scheme),
        _ => Err(ServerUrlError::NoScheme),
    }
}

/// Returns host and port in normal form.
fn authority(text: &str, scheme: &str, to_ascii: &dyn Fn(&str) -> Option<String>) -> Result<String, ServerUrlError> {
    // The colons in `[::1]` do not start a port.
    let address = if text.starts_with('[') { text.find(']').unwrap_or(text.len()) } else { 0 };
    let colon = text.get(address..).and_then(|rest| rest.find(':')).map(|colon| address + colon);
    let (host, port) = text.split_at_checked(colon.unwrap_or(text.len())).unwrap_or((text, ""));
    let host = self::host(host, to_ascii)?;
    let Some(port) = port.strip_prefix(':').filter(|port| !port.is_empty()) else { return Ok(host) };
    let port = if is_number(port, 10) { port.parse::<u16>().ok() } else { None };
    match (port.ok_or(ServerUrlError::Port)?, scheme) {
        (0, _) => Err(ServerUrlError::Port),
        (80, "http") | (443, "https") => Ok(host),
        (port, _) => Ok(format!("{host}:{port}")),
    }
}

fn host(text: &str, to_ascii: &dyn Fn(&str) -> Option<String>) -> Result<String, ServerUrlError> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.strip_suffix(']').and_then(ipv6).ok_or(ServerUrlError::Ipv6);
    }
    let name = percent_decode(text).ok_or(ServerUrlError::HostCharacter)?;
    if name.bytes().any(is_forbidden) {
        return Err(ServerUrlError::HostCharacter);
    }
    let is_encoded = |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    let is_plain = name.is_ascii() && !name.split('.').any(is_encoded);
    let name = if is_plain { name.to_ascii_lowercase() } else { to_ascii(&name).ok_or(ServerUrlError::DomainName)? };
    if name.is_empty() {
        return Err(ServerUrlError::NoHost);
    }
    if name.bytes().any(is_forbidden) {
        return Err(ServerUrlError::HostCharacter);
    }
    let labels = name.strip_suffix('.').unwrap_or(&name);
    let last = labels.rsplit('.').next().unwrap_or_default();
    if is_number(last, 10) || ipv4_number(last).is_some() {
        return ipv4(labels).ok_or(ServerUrlError::Ipv4);
    }
    if labels.split('.').any(str::is_empty) { Err(ServerUrlError::EmptyLabel) } else { Ok(name) }
}

/// Returns whether a host cannot contain this byte.
fn is_forbidden(b: u8) -> bool {
    b <= b' ' || b == 0x7f || b"%#/:<>?@[\\]^|".contains(&b)
}

fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let (mut decoded, mut bytes) = (Vec::new(), text.as_bytes());
    while let Some((&first, rest)) = bytes.split_first() {
        let code = rest.get(..2).filter(|code| first == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let value = code.and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        decoded.push(value.unwrap_or(first));
        bytes = if value.is_some() { rest.get(2..).unwrap_or_default() } else { rest };
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// Returns whether this is a number without a sign. A number may be too large for any integer.
fn is_number(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_digit(radix))
}

/// Parses an address of one to four numbers, the last of which has all remaining bytes: `127.1`.
fn ipv4(text: &str) -> Option<String> {
    let mut numbers = text.split('.').map(ipv4_number).collect::<Option<Vec<u64>>>()?;
    let last = numbers.pop()?;
    let bits = 32_usize.checked_sub(8 * numbers.len()).filter(|bits| *bits > 0 && last >> bits == 0)?;
    let bytes = numbers.iter().try_fold(0, |bytes, byte| (*byte < 256).then_some(bytes << 8 | byte))?;
    Some(Ipv4Addr::from(u32::try_from(bytes << bits | last).ok()?).to_string())
}

/// Parses a decimal, octal (`017`) or hexadecimal (`0xf`) number.
fn ipv4_number(text: &str) -> Option<u64> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(""), _) => return Some(0),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    is_number(digits, radix).then(|| u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}

fn ipv6(text: &str) -> Option<String> {
    let address: Ipv6Addr = text.parse().ok()?;
    Some(match address.segments() {
        // The standard library prints the last four bytes as an IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]"),
        _ => format!("[{address}]"),
    })
}

/// Returns a path without dot segments and without a trailing slash.
fn base_path(text: &str) -> String {
    let mut segments = Vec::new();
    for segment in text.split(['/', '\\']).skip(1) {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut path = String::new();
    for b in segments.iter().flat_map(|segment| iter::once(b'/').chain(segment.bytes())) {
        if b.is_ascii_graphic() && !b"\"<>`{}".contains(&b) {
            path.push(b.into());
        } else {
            path += &format!("%{b:02X}");
        }
    }
    path.truncate(path.trim_end_matches('/').len());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the normal form of an address, or its error.
    fn parsed(text: &str) -> Result<String, ServerUrlError> {
        let to_ascii = |name: &str| match name {
            "B\u{fc}cher.example" | "xn--bcher-kva.example" => Some("xn--bcher-kva.example".to_owned()),
            "\u{ff11}27.1" => Some("127.1".to_owned()),
            _ => None,
        };
        parse(text, false, &to_ascii).map(|url| url.to_string())
    }

    #[test]
    fn addresses_have_a_normal_form() {
        let table = [
            ("A.Example", "https://a.example"),
            (" a.example. ", "https://a.example."),
            ("HTTP://a.example:080/", "http://a.example"),
            ("http://\\\\a.example:443\\base\\", "http://a.example:443/base"),
            ("https://a.example:0443", "https://a.example"),
            ("https:///a.example:", "https://a.example"),
            ("http:8080", "https://http:8080"),
            ("a.example/b,c", "https://a.example/b,c"),
            ("https:/\n/a.example", "https://a.example"),
            ("a.example:8443/A/./b/../%2E%2e/c//", "https://a.example:8443/c"),
            ("a.example/\u{fc} \"%7e{", "https://a.example/%C3%BC%20%22%7e%7B"),
            ("a_b-c.%45xample", "https://a_b-c.example"),
            ("B%C3%BCcher.example", "https://xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("\u{ff11}27.1:80", "https://127.0.0.1:80"),
            ("0x7f.0.0.01", "https://127.0.0.1"),
            ("2130706433.", "https://127.0.0.1"),
            ("1.0x", "https://1.0.0.0"),
            ("[0:0::1]:8080", "https://[::1]:8080"),
            ("[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]"),
            ("a.0xg", "https://a.0xg"),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        use ServerUrlError as E;
        let table = [
            ("", E::NoHost),
            ("https://", E::NoHost),
            ("%", E::HostCharacter),
            ("%2f", E::HostCharacter),
            ("%ff", E::HostCharacter),
            ("a b", E::HostCharacter),
            ("\0/a", E::HostCharacter),
            ("a^b", E::HostCharacter),
            ("\u{fc}.example", E::DomainName),
            ("XN--a.example", E::DomainName),
            ("a..b", E::EmptyLabel),
            ("a.256", E::Ipv4),
            ("256.0.0.1", E::Ipv4),
            ("1.2.3.256", E::Ipv4),
            ("1.2.3.08", E::Ipv4),
            ("1.2.3.4.5", E::Ipv4),
            ("1..2", E::Ipv4),
            ("0x100000000", E::Ipv4),
            ("0xffffffffffffffffffff", E::Ipv4),
            ("[::1", E::Ipv6),
            ("[::1]x", E::Ipv6),
            ("[::g]", E::Ipv6),
            ("a:0", E::Port),
            ("a:65536", E::Port),
            ("a:+1", E::Port),
            ("a:1:2", E::Port),
            ("ftp://a.example", E::Scheme("ftp".to_owned())),
            ("a/b://c", E::NoScheme),
            ("1a://b", E::NoScheme),
            ("http:/a", E::Separator),
            ("http:", E::Separator),
            ("https//a", E::Separator),
            ("a.example,b.example", E::List),
            ("https://a.example,https://b.example", E::List),
            ("::1", E::Ipv6Brackets("::1".parse().unwrap())),
            ("https://user@a.example", E::Credentials),
            ("a.example?b", E::Query),
            ("a.example/b?c#d", E::Query),
            ("a.example/b#c?d", E::Fragment),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text), Err(expected), "{text}");
        }
    }
}
