//! Guesses the public hostnames, which cloudflared's files do not name.

use std::collections::BTreeSet;

use super::rules::ImportedRule;
use super::server_names::stem;
use crate::draft::address_error;

/// The public hosts that are known so far.
pub(super) struct HostGuesser<'a> {
    /// The values of `--public-host`.
    given: &'a [String],
    taken: BTreeSet<String>,
    rules: &'a [ImportedRule],
}

impl<'a> HostGuesser<'a> {
    pub(super) const fn new(given: &'a [String], rules: &'a [ImportedRule]) -> Self {
        Self { given, taken: BTreeSet::new(), rules }
    }

    /// Returns the public address of a group of rules, and comments about it. `groups` is the
    /// number of all groups.
    pub(super) fn guess(&mut self, group: &[&ImportedRule], groups: usize) -> Option<(String, Vec<String>)> {
        let (address, comment) = self
            .given_for(group, groups)
            .map(|given| (given, None))
            .or_else(|| {
                Some((shared_hostname(group)?, Some("A hostname of several tunnels, so probably the public one.")))
            })
            .or_else(|| {
                let header = group.iter().filter_map(|rule| rule.host_header.as_ref());
                let header =
                    header.map(|header| header.to_ascii_lowercase()).find(|header| self.can_be_public(header))?;
                Some((header, Some("The httpHostHeader of a rule, so probably the public hostname.")))
            })?;
        let is_new = self.taken.insert(address.clone()) && address_error(&address).is_none();
        is_new.then(|| (address, comment.into_iter().map(str::to_owned).collect()))
    }

    /// Returns whether a hostname is a public host, which cannot be a server.
    pub(super) fn is_public(&self, hostname: &str) -> bool {
        self.taken.iter().chain(self.given).any(|address| host_of(address) == hostname)
    }

    /// Returns whether a hostname is neither public nor in a rule.
    pub(super) fn is_free(&self, hostname: &str) -> bool {
        !self.is_public(hostname) && !self.rules.iter().any(|rule| rule.hostname == hostname)
    }

    /// Returns the values of `--public-host` that no group has.
    pub(super) fn unused(&self) -> impl Iterator<Item = &'a String> {
        self.given.iter().filter(|host| !self.taken.contains(*host))
    }

    /// Returns the `--public-host` that is a hostname of the group, begins like one, or is the only
    /// choice.
    fn given_for(&self, group: &[&ImportedRule], groups: usize) -> Option<String> {
        let free = |address: &&String| !self.taken.contains(*address);
        let has = |hostname: &str| group.iter().any(|rule| rule.hostname == hostname);
        let label = |address: &str| address.split(['.', '/']).next().unwrap_or_default().to_owned();
        let begins = |address: &str| {
            let label_of_address = label(address);
            group
                .iter()
                .any(|rule| stem(&rule.hostname) == label_of_address || label(&rule.hostname) == label_of_address)
        };
        let given = || self.given.iter().filter(free);
        let by_name = given().find(|address| has(host_of(address))).or_else(|| given().find(|address| begins(address)));
        let only = || given().next().filter(|_| groups == 1 && self.given.len() == 1);
        by_name.or_else(only).cloned()
    }

    /// Returns whether a `Host` that an application gets can be a public one: a name without
    /// another use.
    fn can_be_public(&self, header: &str) -> bool {
        let is_name = header.contains('.') && !header.contains(':') && header.parse::<std::net::IpAddr>().is_err();
        is_name
            && !self.taken.contains(header)
            && !self.given.iter().any(|given| given == header)
            && !self.rules.iter().any(|rule| rule.hostname == header)
            && address_error(header).is_none()
    }
}

/// Returns the host of a public address.
pub(super) fn host_of(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

fn shared_hostname(group: &[&ImportedRule]) -> Option<String> {
    let count = |hostname: &str| group.iter().filter(|rule| rule.hostname == hostname).count();
    group.iter().map(|rule| &rule.hostname).find(|hostname| count(hostname) > 1).cloned()
}
