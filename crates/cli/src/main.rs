//! `tunnel-balancer`: Tunnel Balancer on the command line.

mod explain;
mod schema;
mod serve;

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
    Explain(explain::Explain),
    Schema(schema::Schema),
    Serve(serve::Serve),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Explain(explain) => explain.run(),
        Command::Schema(schema) => schema.run(),
        Command::Serve(serve) => serve.run(),
    }
}
