//! `generate dns`: a record for each server's hostname, as a zone file that Cloudflare imports.

use std::fmt::Write;

use clap::Args;
use tunnel_balancer_config::{Config, is_tunnel_id};

use super::{Output, skipped_comments};
use crate::cloudflared::{NotTunneled, tunnel_hosts};
use crate::map_file::MapFile;
use crate::tunnel::{Tunnels, warn_of_shared};
use crate::wrangler::{check_zones, unroutable, zone, zone_of};

/// The DNS records of the servers, as lines of a zone file: each hostname leads to its tunnel.
///
/// The dashboard imports such a file (DNS > Records > Import). Records of public hosts are only
/// comments, so that an import never replaces one.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate dns
  tunnel-balancer generate dns --tunnel '6ff42ae2-765d-4adf-8112-31c55c1551ef=*-a.example.com' > records.txt

Exit codes: 0 generated; 2 errors in the file or the command.")]
pub(super) struct Dns {
    #[command(flatten)]
    map: MapFile,

    #[command(flatten)]
    tunnels: Tunnels,

    /// A zone whose public hosts have routes instead of custom domains. Their records are listed,
    /// too. Can be repeated.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Vec<String>,
}

impl Dns {
    pub(super) fn generate(&self) -> Result<Output, String> {
        let config = self.map.load()?;
        let file = self.map.name();
        check_zones(&config, &self.zone, &file)?;
        let (hosts, not_tunneled) = tunnel_hosts(&config);
        for (tunnel, hosts) in self.tunnels.each(&hosts, &file)? {
            warn_of_shared(Some(&tunnel.name), &hosts);
        }
        let mut text = format!(
            "; The DNS records of the servers of {file}. To import them: dashboard, DNS > Records > Import.\n\
             ; To create a single one: cloudflared tunnel route dns <TUNNEL-ID> <HOSTNAME>\n"
        );
        let has_id = |host| self.tunnels.of(host).is_some_and(|tunnel| is_tunnel_id(&tunnel.name));
        if !hosts.iter().all(has_id) {
            text += "; TODO: replace <...> by the IDs of the tunnels, from `cloudflared tunnel list`.\n";
        }
        for host in &hosts {
            let target = match self.tunnels.of(host) {
                Some(tunnel) if is_tunnel_id(&tunnel.name) => tunnel.name.clone(),
                Some(tunnel) => format!("<ID OF {}>", tunnel.name),
                None => "<TUNNEL-ID>".to_owned(),
            };
            let _ = write!(text, "\n; {host}\n{}.  1  IN  CNAME  {target}.cfargotunnel.com.  {PROXIED}\n", host.host);
        }
        text += &self.public(&config);
        let mut skipped: Vec<String> = not_tunneled.iter().map(NotTunneled::to_string).collect();
        for service in &config.services {
            let reason = unroutable(&service.host).map(|reason| format!("{} ({reason})", service.host));
            skipped.extend(reason.filter(|reason| !skipped.contains(reason)));
        }
        text += &skipped_comments(";", &skipped);
        Ok(Output { text, skipped })
    }

    /// Returns comments about the records of public hosts.
    fn public(&self, config: &Config) -> String {
        let mut hosts: Vec<&str> = Vec::new();
        for service in &config.services {
            if !hosts.contains(&service.host.as_str()) && unroutable(&service.host).is_none() {
                hosts.push(&service.host);
            }
        }
        // A custom domain is for one host.
        let is_routed = |host: &&str| host.contains('*') || zone_of(host, &self.zone).is_some();
        let (routed, custom): (Vec<&str>, Vec<&str>) = hosts.into_iter().partition(is_routed);
        let mut text = String::new();
        if !custom.is_empty() {
            text += "\n; Public hosts with a custom domain. Cloudflare creates their records when the Worker is \
                deployed, and they\n\
                     ; must have no other record.\n";
            custom.iter().for_each(|host| text += &format!(";   {host}\n"));
        }
        if !routed.is_empty() {
            text += "\n; Public hosts with a route. They need a proxied record of any kind: keep the one that \
                exists, or create this one.\n";
            routed.iter().for_each(|host| text += &format!(";{host}.  1  IN  AAAA  100::  {PROXIED}\n"));
        }
        text
    }
}

/// The mark of proxied records in zone files that Cloudflare exports. The TTL 1 means `automatic`.
const PROXIED: &str = "; cf_tags=cf-proxied:true";
