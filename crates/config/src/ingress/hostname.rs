//! The hostnames of rules.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The hostname of a rule, as cloudflared compares it: byte for byte, with `*.` for any labels in
/// front. A name without a wildcard also matches in its ASCII form, which is in lower case.
#[derive(Debug)]
pub(super) struct Hostname<'a> {
    written: Option<&'a str>,
    ascii: Option<String>,
}

impl<'a> Hostname<'a> {
    pub(super) fn new(written: Option<&'a str>) -> Self {
        Self { written, ascii: written.and_then(ascii_form) }
    }

    /// Returns whether the hostname of a request matches.
    pub(super) fn matches(&self, host: &str) -> bool {
        self.forms().any(|form| is_match(&form, host)) || self.written.is_none()
    }

    /// Returns whether every hostname that matches `other` matches this one, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        // The shortest name of a wildcard is its suffix, whose match covers all longer ones.
        let covers = |form: Cow<'_, str>| match form.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
            Some(suffix) => self.forms().any(|form| is_wildcard_for(&form, suffix)) || self.written.is_none(),
            None => self.matches(&form),
        };
        match other.written {
            None => self.written.is_none(),
            Some(_) => other.forms().all(covers),
        }
    }

    /// Returns why cloudflared rejects it, if it does.
    pub(super) fn validate(&self) -> Result<(), String> {
        let Some(hostname) = self.written else { return Ok(()) };
        if has_port(hostname) {
            return Err(format!("the hostname {hostname} has a port"));
        }
        match hostname.rfind('*') {
            Some(1..) => Err(format!("the hostname {hostname} has a `*` that is not its first character")),
            _ => Ok(()),
        }
    }

    fn forms(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let written = self.written.map(Cow::Borrowed);
        written.into_iter().chain(self.ascii.as_deref().map(Cow::Borrowed))
    }
}

fn is_match(pattern: &str, host: &str) -> bool {
    pattern == host || is_wildcard_for(pattern, host)
}

fn is_wildcard_for(pattern: &str, host: &str) -> bool {
    pattern.strip_prefix('*').is_some_and(|suffix| suffix.starts_with('.') && host.ends_with(suffix))
}

/// Returns the ASCII form of a name, if it is another one. Wildcards and other names outside of the
/// rules for hostnames have none.
fn ascii_form(hostname: &str) -> Option<String> {
    let ascii =
        Uts46::new().to_ascii(hostname.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Ignore).ok()?;
    (ascii != hostname).then(|| ascii.into_owned())
}

/// Returns whether Go's `net.SplitHostPort` finds a port, which may be empty.
fn has_port(hostname: &str) -> bool {
    let Some((host, port)) = hostname.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(address) => address,
            None => return false,
        },
        None if host.contains(':') => return false,
        None => host,
    };
    !host.contains(['[', ']']) && !port.contains(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_go_takes_for_one() {
        let table = [
            ("a:443", true),
            ("a:", true),
            (":80", true),
            ("[::1]:80", true),
            ("a", false),
            ("a:b:c", false),
            ("::1", false),
            ("[::1]", false),
            ("[a:80", false),
            ("a]:80", false),
        ];
        for (hostname, expected) in table {
            assert_eq!(has_port(hostname), expected, "{hostname}");
        }
    }

    #[test]
    fn one_pattern_covers_another() {
        let table = [
            (None, Some("a.example.com"), true),
            (None, None, true),
            (Some("a.example.com"), None, false),
            (Some("a.example.com"), Some("a.example.com"), true),
            (Some("a.example.com"), Some("b.example.com"), false),
            (Some("*.example.com"), Some("a.b.example.com"), true),
            (Some("*.example.com"), Some("example.com"), false),
            (Some("*.example.com"), Some("*.a.example.com"), true),
            (Some("*.a.example.com"), Some("*.example.com"), false),
            (Some("*.example.com"), Some("*.example.com"), true),
            (Some("a.example.com"), Some("*.example.com"), false),
            // The names `A.example.com` and `a.example.com` match the second.
            (Some("a.example.com"), Some("A.example.com"), false),
            (Some("A.example.com"), Some("a.example.com"), true),
        ];
        for (first, second, expected) in table {
            assert_eq!(Hostname::new(first).covers(&Hostname::new(second)), expected, "{first:?} {second:?}");
        }
    }
}
