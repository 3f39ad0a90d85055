//! `generate cloudflared`: the `config.yml` of each tunnel.

use std::fmt::Write;

use clap::Args;
use tunnel_balancer_config::yaml_text;
use tunnel_balancer_core::ServerUrl;

use super::{Source, Text, Written};
use crate::cloudflared::{NotTunneled, TunnelHost, tunnel_hosts};
use crate::tunnel::Tunnels;

/// The `config.yml` of each tunnel: a rule for each server's hostname.
///
/// Without --tunnel all hostnames are in one file. With one --tunnel it is that tunnel's file, with
/// several the files follow each other, separated by `---`. A tunnel that is configured in the
/// dashboard has no such file: enter the same there. For those that exist, `tunnel-balancer check
/// --cloudflared config.yml` tells what is missing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' --service-url http://localhost:3000 > config.yml

Exit codes: 0 written; 2 mistakes in the file or the command.")]
pub(super) struct Cloudflared {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    tunnels: Tunnels,

    /// Where the application listens, as cloudflared reaches it.
    #[arg(long, value_name = "URL", value_parser = service_url)]
    service_url: Option<String>,

    /// Give the application the public hostname in `Host`, for applications that make links or
    /// choose sites by it. Without this it gets the server's own.
    #[arg(long)]
    host_header: bool,
}

/// What an ingress rule can name: cloudflared appends the path of the request itself.
fn service_url(text: &str) -> Result<String, String> {
    let hint = "write where the application listens, as in http://localhost:8080";
    let url: ServerUrl = text.parse().map_err(|_| hint)?;
    if text.contains("://") && url.base_path().is_empty() { Ok(url.to_string()) } else { Err(hint.to_owned()) }
}

impl Cloudflared {
    pub(super) fn write(&self) -> Written {
        let (hosts, not_tunneled) = tunnel_hosts(&self.source.load()?);
        let file = self.source.name();
        let mut left_out: Vec<String> =
            not_tunneled.iter().map(|NotTunneled { address, why }| format!("{address} ({why})")).collect();
        let mut text = String::new();
        if self.tunnels.is_empty() {
            text += &self.config(None, &hosts.iter().collect::<Vec<_>>(), &file);
        }
        for (tunnel, hosts) in self.tunnels.each(&hosts, &file)? {
            text += if text.is_empty() { "" } else { "---\n" };
            text += &self.config(Some(&tunnel.name), &hosts, &file);
        }
        if !self.tunnels.is_empty() {
            let unclaimed = hosts.iter().filter(|host| self.tunnels.of(host).is_none());
            left_out.extend(unclaimed.map(|host| format!("{} (no --tunnel has it)", host.host)));
        }
        for left_out in &left_out {
            let _ = writeln!(text, "# Left out: {left_out}.");
        }
        Ok(Text { text, left_out })
    }

    /// The file of one tunnel.
    fn config(&self, tunnel: Option<&str>, hosts: &[&TunnelHost], file: &str) -> String {
        let of = tunnel.map_or_else(|| "a tunnel".to_owned(), |name| format!("the tunnel {name}"));
        let mut yaml = format!(
            "# cloudflared's config.yml of {of}, from {file}. To check it: cloudflared tunnel ingress validate\n\
             # `cloudflared tunnel list` tells the ID.\n\
             #tunnel: <TUNNEL-ID>\n\
             #credentials-file: /etc/cloudflared/<TUNNEL-ID>.json\n\ningress:\n"
        );
        let (service, change) = match &self.service_url {
            Some(url) => (url.as_str(), ""),
            None => ("http://localhost:8080", " # change it: where the application listens"),
        };
        for host in hosts {
            let _ = write!(
                yaml,
                "  # {host}\n  - hostname: {}\n    service: {}{change}\n",
                yaml_text(&host.host),
                yaml_text(service)
            );
            yaml += &self.host_header_of(host);
        }
        yaml + "  # cloudflared wants a last rule for everything else.\n  - service: http_status:404\n"
    }

    fn host_header_of(&self, host: &TunnelHost) -> String {
        if !self.host_header {
            return String::new();
        }
        let public: Vec<&str> = host.public.iter().map(String::as_str).collect();
        match &public[..] {
            [public] => format!(
                "    originRequest:\n      # What the application takes for its own name.\n      httpHostHeader: {}\n",
                yaml_text(public)
            ),
            several => format!(
                "    # No httpHostHeader: it stands for {}. A hostname for each of them would tell.\n",
                several.join(" and ")
            ),
        }
    }
}
