//! Which rules of several tunnels lead to the same application.

use url::Url;

use super::host_guesser::host_of;
use super::rules::ImportedRule;
use super::server_names::{self, stem};

/// Groups the rules by application. `public` are the known public addresses. A group has at most
/// one rule of each file, and one for the public hostname.
///
/// Rules with the same hostname belong together. So do rules with the same port and path, if each
/// is the only one in its file or their hostnames begin alike. In one file, these are a public
/// hostname and that of its server.
pub(super) fn groups<'r>(rules: &'r [ImportedRule], public: &[String]) -> Vec<Vec<&'r ImportedRule>> {
    let is_only_one = |this: &ImportedRule| {
        let same = |other: &&ImportedRule| {
            other.file == this.file && application(&other.service) == application(&this.service)
        };
        rules.iter().filter(same).count() == 1
    };
    let is_public = |hostname: &str| {
        public.iter().any(|address| host_of(address) == hostname)
            || rules.iter().filter(|rule| rule.hostname == hostname).count() > 1
    };
    let is_server_of = |server: &ImportedRule, public: &ImportedRule| {
        application(&server.service) == application(&public.service)
            && is_public(&public.hostname)
            && !is_public(&server.hostname)
            && server_names::is_like(&server.hostname, &public.hostname)
    };
    let are_public_and_server = |a: &ImportedRule, b: &ImportedRule| is_server_of(a, b) || is_server_of(b, a);
    let belong = |a: &ImportedRule, b: &ImportedRule| {
        application(&a.service) == application(&b.service)
            && (stem(&a.hostname) == stem(&b.hostname) || (is_only_one(a) && is_only_one(b)))
            || are_public_and_server(a, b)
    };
    let mut hostnames: Vec<Vec<&ImportedRule>> = Vec::new();
    for this in rules {
        match hostnames.iter_mut().find(|group| group.iter().any(|other| other.hostname == this.hostname)) {
            Some(group) => group.push(this),
            None => hostnames.push(vec![this]),
        }
    }
    let mut groups: Vec<Vec<&ImportedRule>> = Vec::new();
    for these in hostnames {
        let accepts = |group: &&mut Vec<&ImportedRule>| {
            let mut pairs = group.iter().flat_map(|other| these.iter().map(move |this| (*other, *this)));
            pairs.clone().all(|(other, this)| other.file != this.file || are_public_and_server(other, this))
                && pairs.any(|(other, this)| belong(other, this))
        };
        match groups.iter_mut().find(accepts) {
            Some(group) => group.extend(these),
            None => groups.push(these),
        }
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|rule| rule.file));
    groups
}

/// Returns the port and path of a service, which are the same on all machines.
fn application(service: &str) -> String {
    Url::parse(service).map_or_else(
        |_| service.to_owned(),
        |url| format!("{:?}{}", url.port_or_known_default(), url.path().trim_end_matches('/')),
    )
}
