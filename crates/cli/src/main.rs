//! `tunnel-balancer`: Tunnel Balancer on the command line.

mod serve;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Failover between servers behind Cloudflare Tunnels, from one YAML file.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Simulate(simulate::Simulate),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Simulate(simulate) => simulate.run(),
    }
}
