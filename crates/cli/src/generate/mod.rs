//! `tunnel-balancer generate`: what wrangler, cloudflared, DNS and Access need from a
//! services.yaml, in their own formats.
//!
//! A hostname is listed in four places: the map, the Worker's routes, the ingress of its tunnel,
//! and DNS. One that is missing is an outage that no test of the map finds. So the other three are
//! generated from the map, and `check` compares them.

mod access;
mod cloudflared;
mod dns;
mod ingress_edit;
mod service_url;
mod wrangler;
mod wrangler_block;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::output;

/// Generate what wrangler, cloudflared, DNS and Access need from a services.yaml.
///
/// The result goes to stdout, or into an existing file of which everything else is kept (--into,
/// --write). Skipped servers and hosts are listed on stderr.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate wrangler --write
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' --into config.yml
  tunnel-balancer generate dns --tunnel 'home=*-a.example.com' --tunnel 'office=*-b.example.com'

Exit codes: 0 generated; 2 errors in a file or the command.")]
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

/// The output of a command.
struct Output {
    /// For stdout: the result, or a report about the files that were changed.
    text: String,
    /// Servers and hosts that have no place in it, and why.
    skipped: Vec<String>,
}

impl Generate {
    pub(crate) fn run(self) -> ExitCode {
        let output = match self.what {
            What::Cloudflared(cloudflared) => cloudflared.generate(),
            What::Wrangler(wrangler) => wrangler.generate(),
            What::Dns(dns) => dns.generate(),
            What::Access(access) => access.generate(),
        };
        match output {
            Ok(Output { text, skipped }) => {
                skipped.iter().for_each(|skipped| eprintln!("skipped: {skipped}"));
                output::print(&text)
            }
            Err(message) => {
                eprintln!("{message}");
                ExitCode::from(2)
            }
        }
    }
}

/// Returns comments about what is skipped.
fn skipped_comments(mark: &str, skipped: &[String]) -> String {
    skipped.iter().map(|skipped| format!("{mark} Skipped: {skipped}.\n")).collect()
}
