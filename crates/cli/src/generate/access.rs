//! `generate access`: the servers that Cloudflare Access has to protect, and which of them get the
//! service token with which the balancer can still reach them.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;
use tunnel_balancer_config::{Config, yaml_scalar};
use tunnel_balancer_core::{Server, Service};

use super::{Output, skipped_comments};
use crate::cloudflared::{NotTunneled, tunnel_hosts};
use crate::map_file::MapFile;

/// The servers to protect with Access: which of them get a service token, and the missing lines.
///
/// A server's own hostname is public: requests to it bypass the balancer. Behind an Access
/// application with a service token, only the balancer has access. The file shows which servers get
/// a token, but not which ones Access protects.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate access
  tunnel-balancer generate access -f home.yaml > access.yaml

Exit codes: 0 generated, even if tokens are missing; 2 errors in the file or the command.")]
pub(super) struct Access {
    #[command(flatten)]
    map: MapFile,
}

/// The headers of a service token.
const ID: &str = "cf-access-client-id";
const SECRET: &str = "cf-access-client-secret";

impl Access {
    pub(super) fn generate(&self) -> Result<Output, String> {
        let config = self.map.load()?;
        let (hosts, not_tunneled) = tunnel_hosts(&config);
        let skipped: Vec<String> = not_tunneled.iter().map(NotTunneled::to_string).collect();
        let mut text = format!(
            "# Servers of {file}. Requests to their hostnames bypass the balancer unless Cloudflare Access protects \
            them.\n\
             # In the Zero Trust dashboard: an Access application for these hostnames, a service token, and a policy \
             with the\n\
             # action \"Service Auth\" that includes this token.\n#\n",
            file = self.map.name()
        );
        let mut states: BTreeMap<String, Vec<Token>> = BTreeMap::new();
        for server in config.services.iter().flat_map(Service::servers) {
            states.entry(server.url.authority().to_owned()).or_default().push(Token::of(server));
        }
        let width = hosts.iter().map(|host| host.host.len()).max().unwrap_or_default();
        for host in &hosts {
            let worst = states.get(&host.host).and_then(|states| states.iter().max()).copied().unwrap_or(Token::None);
            let _ = writeln!(text, "#   {:width$}  {}", host.host, worst.description());
        }
        text += &skipped_comments("#", &skipped);
        text += &missing(&config);
        Ok(Output { text, skipped })
    }
}

/// The part of a service token that a server gets. The last variant is the worst.
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

    fn description(self) -> &'static str {
        match self {
            Self::Whole => "gets a token",
            Self::Half => "gets one half of a token: Access would reject the balancer, too",
            Self::None => "gets no token: Access would reject the balancer, too",
        }
    }
}

/// Returns the lines that add a token to each server without one.
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
        let _ = write!(yaml, "  {}:\n    servers:\n", yaml_scalar(&service.name()));
        for server in servers {
            let _ = writeln!(yaml, "      - url: {}", yaml_scalar(&server.url.to_string()));
            if server.name != Server::new(server.url.clone()).name {
                let _ = writeln!(yaml, "        name: {}", yaml_scalar(&server.name));
            }
            yaml += "        headers: { CF-Access-Client-Id: \"${ACCESS_ID}\", \
                CF-Access-Client-Secret: \"${ACCESS_SECRET}\" }\n";
        }
    }
    if yaml.is_empty() {
        return "#\n# No token is missing.\n".to_owned();
    }
    format!(
        "#\n# TODO: add the `headers` of these servers. The halves of the token are secrets of the Worker:\n\
         #   npx wrangler secret put ACCESS_ID\n#   npx wrangler secret put ACCESS_SECRET\n\nservices:\n{yaml}"
    )
}
