//! `tunnel-balancer generate`: what other programs need to know of a services.yaml, in their own
//! formats.
//!
//! A hostname has to stand in four places (the map, the Worker's routes, each tunnel's ingress,
//! DNS), and one forgotten is an outage that no test of the map can see. So the other three are
//! written from the map (and `check` compares).

mod access;
mod cloudflared;
mod dns;
mod wrangler;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tunnel_balancer_config::Config;

use crate::map_file::MapFile;
use crate::output;

/// Write what wrangler, cloudflared, DNS and Access need, from a services.yaml.
///
/// Results go to stdout, with comments that say what to do with them; what was left out is told on
/// stderr as well.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate wrangler >> wrangler.toml
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' > config.yml
  tunnel-balancer generate dns --tunnel 'home=*-a.example.com' --tunnel 'office=*-b.example.com'

Exit codes: 0 written; 2 mistakes in the file or the command.")]
pub(crate) struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Wrangler(wrangler::Wrangler),
    Cloudflared(cloudflared::Cloudflared),
    Dns(dns::Dns),
    Access(access::Access),
}

/// The file that all of them read.
#[derive(Args, Debug)]
struct Source {
    #[command(flatten)]
    map: MapFile,
}

/// What was written, or that the command or a file has a mistake.
type Written = Result<Text, String>;

/// A result, and what could not be a part of it.
struct Text {
    text: String,
    left_out: Vec<String>,
}

impl Generate {
    pub(crate) fn run(self) -> ExitCode {
        let written = match self.what {
            What::Cloudflared(cloudflared) => cloudflared.write(),
            What::Wrangler(wrangler) => wrangler.write(),
            What::Dns(dns) => dns.write(),
            What::Access(access) => access.write(),
        };
        match written {
            Ok(Text { text, left_out }) => {
                left_out.iter().for_each(|left_out| eprintln!("left out: {left_out}"));
                output::print(&text)
            }
            Err(message) => {
                eprintln!("{message}");
                ExitCode::from(2)
            }
        }
    }
}

impl Source {
    fn load(&self) -> Result<Config, String> {
        self.map.load()
    }

    /// On one line, as it also stands in comments.
    fn name(&self) -> String {
        self.map.name()
    }
}
