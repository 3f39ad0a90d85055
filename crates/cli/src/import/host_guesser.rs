//! Which hostname is public: no file of cloudflared's says so.

use std::collections::BTreeSet;

use super::cloudflared::Found;
use crate::draft::address_error;

/// The public hosts, as far as they are known.
pub(super) struct HostGuesser<'a> {
    pub(super) given: &'a [String],
    pub(super) taken: BTreeSet<String>,
    pub(super) found: &'a [Found],
}

impl HostGuesser<'_> {
    /// The public address of a group of rules, and what there is to say of it.
    pub(super) fn of(&mut self, group: &[&Found], groups: usize) -> Option<(String, Vec<String>)> {
        let free = |address: &&String| !self.taken.contains(*address);
        let label = |address: &str| address.split(['.', '/']).next().unwrap_or_default().to_owned();
        let has = |hostname: &str| group.iter().filter(|found| found.hostname == hostname).count();
        let begins = |address: &str| {
            group
                .iter()
                .any(|found| stem(&found.hostname) == label(address) || label(&found.hostname) == label(address))
        };
        let given = self.given.iter().filter(free).find(|address| has(host_of(address)) > 0);
        let given = given.or_else(|| self.given.iter().filter(free).find(|address| begins(address)));
        let given = given.or_else(|| self.given.first().filter(free).filter(|_| groups == 1 && self.given.len() == 1));
        let (address, comments) = if let Some(given) = given {
            (given.clone(), Vec::new())
        } else if let Some(shared) = group.iter().map(|found| &found.hostname).find(|hostname| has(hostname) > 1) {
            (shared.clone(), vec!["A hostname of several tunnels, so probably the public one.".to_owned()])
        } else {
            let header = group
                .iter()
                .filter_map(|found| found.host_header.as_ref())
                .find(|header| self.can_be_public(header))?;
            (
                header.to_ascii_lowercase(),
                vec!["The httpHostHeader of a rule, so probably the public hostname.".to_owned()],
            )
        };
        (self.taken.insert(address.clone()) && address_error(&address).is_none()).then_some((address, comments))
    }

    /// Whether a `Host` that an application gets is the public one: a name of nobody else.
    fn can_be_public(&self, header: &str) -> bool {
        let header = header.to_ascii_lowercase();
        let is_name = header.contains('.') && !header.contains(':') && header.parse::<std::net::IpAddr>().is_err();
        is_name
            && !self.taken.contains(&header)
            && !self.given.contains(&header)
            && !self.found.iter().any(|found| found.hostname == header)
            && address_error(&header).is_none()
    }

    /// Whether a hostname is a public host, and so can be no server.
    pub(super) fn has(&self, hostname: &str) -> bool {
        self.taken.iter().chain(self.given).any(|address| host_of(address) == hostname)
    }
}

pub(super) fn host_of(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

/// What the hostnames of one service begin with: `chat` for `chat-a.example.com` and for
/// `chat.home.example.com`.
pub(super) fn stem(hostname: &str) -> &str {
    let label = hostname.split('.').next().unwrap_or(hostname);
    label.rsplit_once(['-', '_']).map_or(label, |(stem, _)| stem)
}
