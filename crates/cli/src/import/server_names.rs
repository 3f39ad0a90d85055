//! Hostnames for servers of public hosts.

/// Returns names for a server of `public`, best first. Names are in the zone of the public host:
/// next to it, or below it if it is the zone's own name.
///
/// The zone is the registrable domain of the public suffix list, such as `example.co.uk`.
pub(super) fn candidates(public: &str, server: usize) -> impl Iterator<Item = String> {
    let letter = u8::try_from(server.min(25)).map_or('z', |offset| char::from(b'a' + offset));
    let is_zone = psl::domain_str(public).is_none_or(|zone| zone.len() >= public.len());
    let (prefix, parent) = match public.split_once('.') {
        Some((label, parent)) if !is_zone => (format!("{label}-"), parent.to_owned()),
        _ => (String::new(), public.to_owned()),
    };
    let numbers = std::iter::once(String::new()).chain((1..).map(|number: usize| number.to_string()));
    numbers.map(move |number| format!("{prefix}{letter}{number}.{parent}"))
}

/// Returns whether a hostname is one of a server for a public host: `chat-home.example.com` for
/// `chat.example.com`, or one of the [`candidates`].
pub(super) fn is_like(hostname: &str, public: &str) -> bool {
    let label = public.split('.').next().unwrap_or(public);
    let is_candidate = || (0..26).any(|server| candidates(public, server).take(10).any(|name| name == hostname));
    hostname != public && (stem(hostname) == label || is_candidate())
}

/// Returns the part of a hostname that the servers of a service share: `chat` of
/// `chat-a.example.com` and of `chat.home.example.com`.
pub(super) fn stem(hostname: &str) -> &str {
    let label = hostname.split('.').next().unwrap_or(hostname);
    label.rsplit_once(['-', '_']).map_or(label, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_zone() {
        let table = [
            ("chat.example.com", "chat-a.example.com"),
            ("a.b.example.com", "a-a.b.example.com"),
            ("example.com", "a.example.com"),
            ("example.co.uk", "a.example.co.uk"),
            ("www.example.co.uk", "www-a.example.co.uk"),
            ("co.uk", "a.co.uk"),
            ("com", "a.com"),
            ("home.duckdns.org", "a.home.duckdns.org"),
            ("nas.lan", "a.nas.lan"),
            ("bücher.example", "a.bücher.example"),
            ("xn--bcher-kva.com", "a.xn--bcher-kva.com"),
        ];
        for (public, expected) in table {
            assert_eq!(candidates(public, 0).next().as_deref(), Some(expected), "{public}");
        }
        let more: Vec<String> = candidates("chat.example.com", 1).take(3).collect();
        assert_eq!(more, ["chat-b.example.com", "chat-b1.example.com", "chat-b2.example.com"]);
        assert_eq!(candidates("example.com", 99).next().as_deref(), Some("z.example.com"));
    }
}
