//! `tunnel-balancer`: the command line of Tunnel Balancer.

mod address;
mod api;
mod budget;
mod check;
mod client_request;
mod cloudflared;
mod completions;
mod ctl;
mod deploy;
mod diff;
mod draft;
mod drill;
mod duration;
mod explain;
mod generate;
mod healthcheck;
mod import;
mod init;
mod input;
mod log_options;
mod man;
mod map_file;
mod monitor;
mod monitor_key;
mod npm_folder;
mod output;
mod plural;
mod probe;
mod program;
mod progress;
mod replace;
mod schema;
mod send;
mod serve;
mod shell;
mod simulate;
mod status;
mod table;
mod token;
mod trace;
mod tunnel;
mod wrangler;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Failover between servers behind Cloudflare Tunnels, from one YAML file.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  tunnel-balancer init
  tunnel-balancer check
  tunnel-balancer simulate --svg outage.svg
  tunnel-balancer explain chat.example.com --down chat-a

Commands read services.yaml. -f FILE names another map, and -f - reads standard input.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Import(import::Import),
    Check(check::Check),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Probe(probe::Probe),
    Generate(generate::Generate),
    Deploy(Box<deploy::Deploy>),
    Serve(Box<serve::Serve>),
    Monitor(monitor::Monitor),
    Status(status::Status),
    Healthcheck(healthcheck::Healthcheck),
    Ctl(ctl::Ctl),
    Trace(trace::Trace),
    Drill(Box<drill::Drill>),
    Schema(schema::Schema),
    Completions(completions::Completions),
    #[command(name = "man")]
    Man(man::ManPages),
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| map_file::suggest_option(error).exit());
    match arguments.command {
        Command::Init(init) => init.run(),
        Command::Import(import) => import.run(),
        Command::Check(check) => check.run(),
        Command::Diff(diff) => diff.run(),
        Command::Explain(explain) => explain.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Probe(probe) => probe.run(),
        Command::Generate(generate) => generate.run(),
        Command::Deploy(deploy) => deploy.run(),
        Command::Serve(serve) => serve.run(),
        Command::Monitor(monitor) => monitor.run(),
        Command::Status(status) => status.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Ctl(ctl) => ctl.run(),
        Command::Trace(trace) => trace.run(),
        Command::Drill(drill) => drill.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
    }
}
