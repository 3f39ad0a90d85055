//! `import cloudflared`: a services.yaml with the servers of existing tunnels.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use tunnel_balancer_config::redact_urls;

use super::grouping::groups;
use super::host_guesser::{HostGuesser, host_of};
use super::rules::{self, ImportedRule};
use super::server_names;
use super::{ImportResult, Target};
use crate::draft::{Draft, DraftServer, DraftService};
use crate::input;

/// From the config.yml of each tunnel: the hostnames of its rules become servers.
///
/// With the files of several tunnels, rules for the same port and path become servers of one
/// service. The public host of a service is a --public-host that begins alike, a hostname of
/// several tunnels, or the httpHostHeader of a rule; otherwise it is a placeholder. For a tunnel
/// that is configured in the dashboard, the API's response is read in place of a config.yml.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer import cloudflared /etc/cloudflared/config.yml
  tunnel-balancer import cloudflared home.yml office.yml --public-host chat.example.com --output new.yaml

Exit codes: 0 imported; 1 nothing to import, or the output exists; 2 errors in a file or the command.")]
pub(super) struct FromCloudflared {
    /// The files of the tunnels, in the order in which their servers are tried.
    #[arg(required = true, value_name = "CONFIG")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) target: Target,
}

impl FromCloudflared {
    pub(super) fn import(&self) -> Result<ImportResult, String> {
        for (index, path) in self.files.iter().enumerate() {
            let is_same = |other: &PathBuf| other == path || input::is_same_file(other, path);
            if self.files.iter().take(index).any(is_same) {
                return Err(format!("error: duplicate file {}", path.display()));
            }
        }
        let files = self.files.iter().map(|path| Ok((path.display().to_string(), input::yaml(path)?)));
        import(&files.collect::<Result<Vec<_>, String>>()?, &self.target.public_host)
    }
}

/// Imports `files`, which are names and contents.
fn import(files: &[(String, String)], public: &[String]) -> Result<ImportResult, String> {
    let (rules, mut notes) = rules::read(files)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut draft = Draft {
        comments: vec![
            format!("Generated from {}.", names.join(", ")),
            "Health checks request `/`, unless `health_check: { path: /health }` sets another path.".to_owned(),
        ],
        ..Draft::default()
    };
    let groups = groups(&rules, public);
    let mut guesser = HostGuesser::new(public, &rules);
    // All public hosts before any server, as a proposed server name must be none of them.
    let services = groups.iter().enumerate().map(|(index, group)| match guesser.guess(group, groups.len()) {
        Some((address, comments)) => DraftService { comments, ..DraftService::imported(Some(address), index) },
        None => DraftService::imported(None, index),
    });
    draft.services = services.collect();
    let mut still_served = Vec::new();
    for (service, group) in draft.services.iter_mut().zip(&groups) {
        for rule in group {
            let has_server = group.iter().any(|other| other.file == rule.file && other.hostname != rule.hostname);
            if has_server && guesser.is_public(&rule.hostname) {
                still_served.push(rule.hostname.as_str());
                continue;
            }
            let (server, is_new) = server_of(rule, &service.address, &guesser);
            if is_new {
                notes.push(format!(
                    "{}: {} is a public host: add the hostname {} to this tunnel and to DNS",
                    rule.place, rule.hostname, server.url
                ));
                still_served.push(rule.hostname.as_str());
            }
            if service.servers.iter().any(|other| other.url == server.url) {
                let hint = "give this tunnel a hostname of its own";
                notes.push(format!("{}: duplicate server {}: {hint}", rule.place, server.url));
            } else {
                service.servers.push(server);
            }
        }
        service.resolve_duplicate_names();
    }
    draft.comments.extend(order_without_downtime(&still_served));
    notes.extend(guesser.unused().map(|host| format!("--public-host {host}: no rule begins like this host")));
    Ok(ImportResult { draft, notes })
}

/// Returns the server of a rule, and whether its hostname is new: a public hostname cannot be that
/// of a server, so another one is proposed.
fn server_of(rule: &ImportedRule, address: &str, guesser: &HostGuesser<'_>) -> (DraftServer, bool) {
    let ImportedRule { place, hostname, service, .. } = rule;
    let service = redact_urls(service);
    if hostname != host_of(address) && !guesser.is_public(hostname) {
        return (
            DraftServer { comment: Some(format!("cloudflared: {service} ({place})")), ..DraftServer::at(hostname) },
            false,
        );
    }
    let own = server_names::candidates(hostname, rule.file).find(|name| guesser.is_free(name)).unwrap_or_default();
    let comment = format!("cloudflared: {service} (NEW, like {hostname} in {place})");
    (DraftServer { comment: Some(comment), ..DraftServer::at(own) }, true)
}

/// Returns comments for a map with public hosts that tunnels still serve.
fn order_without_downtime(public: &[&str]) -> Vec<String> {
    let zones: BTreeSet<&str> = public.iter().map(|host| psl::domain_str(host).unwrap_or(host)).collect();
    let zones: String = zones.iter().map(|zone| format!(" --zone {zone}")).collect();
    let order = format!(
        "
The order without downtime:
  1. Add the new hostnames to each tunnel: `tunnel-balancer generate cloudflared
     --tunnel 'home=*-a.example.com' --into config.yml`, then `generate dns`.
  2. Put the Worker in front: `tunnel-balancer generate wrangler{zones} --write`, then deploy it.
     The route takes effect in one step. To roll back, delete it in the dashboard (Workers Routes).
  3. Test, with each tunnel stopped once.
  4. Only then remove the rules of the public hostnames from the tunnels. Keep their DNS records."
    );
    order.lines().filter(|_| !public.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
