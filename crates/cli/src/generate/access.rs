//! `generate access`: which servers Cloudflare Access has to protect, and which of them the
//! balancer can then still reach.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;
use tunnel_balancer_config::{Config, yaml_text};
use tunnel_balancer_core::{Server, Service};

use super::{Source, Text, Written};
use crate::cloudflared::{NotTunneled, tunnel_hosts};

/// The servers to protect with Access: which are sent a service token, and the lines that are
/// missing for the others.
///
/// A server's own hostname is public: who knows it gets past the balancer. Behind an Access
/// application with a service token only the balancer gets in. Whether Access is set up cannot be
/// seen in the file; what can is who is sent a token.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate access
  tunnel-balancer generate access -f home.yaml > access.yaml

Exit codes: 0 written, whatever is missing; 2 mistakes in the file or the command.")]
pub(super) struct Access {
    #[command(flatten)]
    source: Source,
}

/// What a service token is sent in.
const ID: &str = "cf-access-client-id";
const SECRET: &str = "cf-access-client-secret";

impl Access {
    pub(super) fn write(&self) -> Written {
        let config = self.source.load()?;
        let (hosts, not_tunneled) = tunnel_hosts(&config);
        let left_out: Vec<String> =
            not_tunneled.iter().map(|NotTunneled { address, why }| format!("{address} ({why})")).collect();
        let mut text = format!(
            "# Servers of {file} that anybody can reach past the balancer, unless Cloudflare Access is in front of them.\n\
             # In the Zero Trust dashboard: an Access application for these hostnames, a service token, and a policy with the\n\
             # action \"Service Auth\" that lets this token in.\n#\n",
            file = self.source.name()
        );
        let mut states: BTreeMap<String, Vec<Token>> = BTreeMap::new();
        for server in config.services.iter().flat_map(Service::servers) {
            states.entry(server.url.authority().to_owned()).or_default().push(Token::of(server));
        }
        let width = hosts.iter().map(|host| host.host.len()).max().unwrap_or_default();
        for host in &hosts {
            let worst = states.get(&host.host).and_then(|states| states.iter().max()).copied().unwrap_or(Token::None);
            let _ = writeln!(text, "#   {:width$}  {}", host.host, worst.told());
        }
        for left_out in &left_out {
            let _ = writeln!(text, "# Left out: {left_out}.");
        }
        text += &missing(&config);
        Ok(Text { text, left_out })
    }
}

/// How much of a service token a server is sent. The last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Whole,
    Half,
    None,
}

impl Token {
    fn of(server: &Server) -> Self {
        let has = |name: &str| server.headers.iter().any(|header| header.name == name);
        match (has(ID), has(SECRET)) {
            (true, true) => Self::Whole,
            (false, false) => Self::None,
            _ => Self::Half,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Whole => "is sent a token",
            Self::Half => "is sent one half of a token, so that Access would shut out the balancer, too",
            Self::None => "is sent no token, so that Access would shut out the balancer, too",
        }
    }
}

/// The lines that give every server a token which has none.
fn missing(config: &Config) -> String {
    let lacks = |server: &&Server| Token::of(server) != Token::Whole;
    let (hosts, _) = tunnel_hosts(config);
    let is_tunnel = |server: &&Server| hosts.iter().any(|host| host.host == server.url.authority());
    let mut yaml = String::new();
    for service in &config.services {
        let servers: Vec<&Server> = service.servers().iter().filter(lacks).filter(is_tunnel).collect();
        if servers.is_empty() {
            continue;
        }
        let _ = write!(yaml, "  {}:\n    servers:\n", yaml_text(&service.name()));
        for server in servers {
            let _ = writeln!(yaml, "      - url: {}", yaml_text(&server.url.to_string()));
            if server.name != Server::new(server.url.clone()).name {
                let _ = writeln!(yaml, "        name: {}", yaml_text(&server.name));
            }
            yaml += "        headers: { CF-Access-Client-Id: \"${ACCESS_ID}\", CF-Access-Client-Secret: \"${ACCESS_SECRET}\" }\n";
        }
    }
    if yaml.is_empty() {
        return "#\n# Nothing is to be added.\n".to_owned();
    }
    format!(
        "#\n# To be added: the `headers` of these servers. The halves of the token are secrets of the Worker:\n\
         #   npx wrangler secret put ACCESS_ID\n#   npx wrangler secret put ACCESS_SECRET\n\nservices:\n{yaml}"
    )
}
