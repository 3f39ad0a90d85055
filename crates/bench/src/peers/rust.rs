//! The balancer, and the proxies that are written in Rust.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::proxy::PROXY;

use crate::peers::{Setup, write};
use crate::{Result, root};

/// The configuration of the balancer.
pub(super) const SERVICES: &str = "services.yaml";

/// Returns the program of the balancer.
pub(super) fn balancer_program() -> Result<PathBuf> {
    match env::var_os(PROXY).map(PathBuf::from) {
        Some(program) if program.is_file() => Ok(program),
        Some(program) => Err(format!("no program at {}", program.display())),
        None => beside_this_program("tunnel-balancer"),
    }
}

/// Returns a program that cargo has built into the directory of this one.
pub(super) fn beside_this_program(name: &str) -> Result<PathBuf> {
    let program = env::current_exe().map_err(|error| error.to_string())?.with_file_name(name);
    if program.is_file() { Ok(program) } else { Err(format!("{} is not built", program.display())) }
}

/// Returns the program of the proxy on Pingora.
pub(super) fn pingora_program() -> Result<PathBuf> {
    let program = root().join("target/bench-peers/release/pingora-proxy");
    if program.is_file() { Ok(program) } else { Err("crates/bench-peers is not built".to_owned()) }
}

/// Returns the command of the balancer.
pub(super) fn serve(program: &Path, directory: &Path, ports: [u16; 2], setup: &Setup) -> Result<Command> {
    let file = directory.join(SERVICES);
    let of_servers = || {
        // Servers differ, also if both have the same address.
        let [a, b] = setup.servers;
        let a = format!("{{ url: \"http://{a}\", name: a }}");
        let b = format!("{{ url: \"http://{b}/b\", name: b }}");
        let policy = setup.policy;
        format!("services:\n  {HOST}:\n    servers: [{a}, {b}]\n    health_check: /health\n    policy: {policy}\n")
    };
    let yaml = setup.yaml.clone().unwrap_or_else(of_servers);
    write(&file, yaml)?;
    let mut command = Command::new(program);
    command.env("TOKIO_WORKER_THREADS", setup.threads.to_string());
    command.args(["serve", "--file"]).arg(&file);
    command.arg("--listen").arg(format!("http://127.0.0.1:{}", ports[0]));
    if setup.has_tls {
        command.arg("--listen").arg(format!("127.0.0.1:{}", ports[1]));
        command.arg("--tls-cert").arg(directory.join("cert.pem")).arg("--tls-key").arg(directory.join("key.pem"));
    }
    command.args(["--access-log", if setup.has_log { "stdout" } else { "off" }]);
    Ok(command)
}

/// Returns the command of the proxy on hyper.
pub(super) fn hyper(program: &Path, directory: &Path, ports: [u16; 2], setup: &Setup) -> Command {
    let mut command = Command::new(program);
    command.env("TOKIO_WORKER_THREADS", setup.threads.to_string());
    command.arg(ports[0].to_string()).arg(setup.servers[0].to_string());
    if setup.has_tls {
        command.arg(ports[1].to_string()).arg(directory.join("cert.pem")).arg(directory.join("key.pem"));
    }
    command
}

/// Returns the command of the proxy on Pingora.
pub(super) fn pingora(program: &Path, ports: [u16; 2], setup: &Setup) -> Command {
    let mut command = Command::new(program);
    command.arg(ports[0].to_string()).arg(setup.threads.to_string());
    command.args(setup.servers.map(|server| server.to_string()));
    command.args(setup.is_tuned.then_some("tuned"));
    command
}
