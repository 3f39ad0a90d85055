//! `generate dns`: a record for each server's hostname, as a zone file that Cloudflare imports.

use std::fmt::Write;

use clap::Args;
use tunnel_balancer_config::Config;

use super::wrangler::{check_zones, unroutable, zone, zone_of};
use super::{Source, Text, Written};
use crate::cloudflared::{NotTunneled, tunnel_hosts};
use crate::tunnel::Tunnels;

/// The DNS records of the servers, as lines of a zone file: each hostname leads to its tunnel.
///
/// The dashboard imports such a file (DNS > Records > Import). A public hostname with a custom
/// domain needs no record of yours.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate dns
  tunnel-balancer generate dns --tunnel '6ff42ae2-765d-4adf-8112-31c55c1551ef=*-a.example.com' > records.txt

Exit codes: 0 written; 2 mistakes in the file or the command.")]
pub(super) struct Dns {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    tunnels: Tunnels,

    /// The public hosts of this zone have routes, not custom domains: tell the record that they
    /// need. May be given more than once.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Vec<String>,
}

impl Dns {
    pub(super) fn write(&self) -> Written {
        let config = self.source.load()?;
        let file = self.source.name();
        check_zones(&config, &self.zone, &file)?;
        let (hosts, not_tunneled) = tunnel_hosts(&config);
        self.tunnels.each(&hosts, &file)?;
        let mut text = format!(
            "; The DNS records of the servers of {file}. To import them: dashboard, DNS > Records > Import.\n\
             ; One by one: cloudflared tunnel route dns <TUNNEL-ID> <HOSTNAME>\n"
        );
        let is_told = |host| self.tunnels.of(host).is_some_and(|tunnel| is_id(&tunnel.name));
        if !hosts.iter().all(is_told) {
            text += "; Put in the IDs in place of <...>: `cloudflared tunnel list` tells them.\n";
        }
        for host in &hosts {
            let target = match self.tunnels.of(host) {
                Some(tunnel) if is_id(&tunnel.name) => tunnel.name.clone(),
                Some(tunnel) => format!("<ID OF {}>", tunnel.name),
                None => "<TUNNEL-ID>".to_owned(),
            };
            let _ = write!(text, "\n; {host}\n{}.  1  IN  CNAME  {target}.cfargotunnel.com.  {PROXIED}\n", host.host);
        }
        text += &self.public(&config);
        let mut left_out: Vec<String> =
            not_tunneled.iter().map(|NotTunneled { address, why }| format!("{address} ({why})")).collect();
        for service in &config.services {
            let why = unroutable(&service.host).map(|why| format!("{} ({why})", service.host));
            left_out.extend(why.filter(|why| !left_out.contains(why)));
        }
        for left_out in &left_out {
            let _ = writeln!(text, "; Left out: {left_out}.");
        }
        Ok(Text { text, left_out })
    }

    /// What is to be said of the public hosts. Only comments: a record that is there must not be
    /// replaced.
    fn public(&self, config: &Config) -> String {
        let mut hosts: Vec<&str> = Vec::new();
        for service in &config.services {
            if !hosts.contains(&service.host.as_str()) && unroutable(&service.host).is_none() {
                hosts.push(&service.host);
            }
        }
        let (routed, custom): (Vec<&str>, Vec<&str>) =
            hosts.into_iter().partition(|host| zone_of(host, &self.zone).is_some());
        let mut text = String::new();
        if !custom.is_empty() {
            text += "\n; Public hosts with a custom domain. Cloudflare makes their records when the Worker is deployed, and they\n\
                     ; must have no other.\n";
            custom.iter().for_each(|host| text += &format!(";   {host}\n"));
        }
        if !routed.is_empty() {
            text += "\n; Public hosts with a route. Any proxied record does; where there is none, this one, which leads nowhere:\n";
            routed.iter().for_each(|host| text += &format!(";{host}.  1  IN  AAAA  100::  {PROXIED}\n"));
        }
        text
    }
}

/// How an exported zone file of Cloudflare says that a record is proxied; the TTL 1 means
/// `automatic` there.
const PROXIED: &str = "; cf_tags=cf-proxied:true";

/// Whether a tunnel is named by its ID, which is a UUID.
fn is_id(name: &str) -> bool {
    let lengths: Vec<usize> = name.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && name.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
