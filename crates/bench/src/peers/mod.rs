//! The proxies that are measured: the balancer, and its peers.
//!
//! The configurations of peers are the files in `crates/bench/peers`.

mod certificate;
mod configured;
mod running;
mod rust;

pub(crate) use running::Running;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::Result;
use crate::sheet::{OURS, Sheet};

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `tunnel-balancer serve`.
    Ours,
    /// A proxy on hyper that only copies.
    Hyper,
    /// A proxy on Pingora, in `crates/bench-peers`.
    Pingora,
    /// nginx.
    Nginx,
    /// HAProxy.
    HaProxy,
    /// Caddy.
    Caddy,
}

/// How a proxy is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The servers. Where a proxy has only one, it is the first.
    pub(crate) servers: [SocketAddr; 2],
    /// The number of threads.
    pub(crate) threads: usize,
    /// Whether it logs each request.
    pub(crate) has_log: bool,
    /// Whether it has a second port for TLS.
    pub(crate) has_tls: bool,
    /// Whether it has settings for failover.
    pub(crate) is_tuned: bool,
    /// The policy of the balancer.
    pub(crate) policy: &'static str,
    /// The configuration of the balancer, if it is not a service with the servers.
    pub(crate) yaml: Option<String>,
}

impl Setup {
    /// Creates a setup with one thread and an access log, in which both servers are the same.
    pub(crate) fn single(server: SocketAddr) -> Self {
        Self {
            servers: [server, server],
            threads: 1,
            has_log: true,
            has_tls: false,
            is_tuned: false,
            policy: "failover",
            yaml: None,
        }
    }

    /// Sets the configuration of the balancer.
    pub(crate) fn with_yaml(self, yaml: String) -> Self {
        Self { yaml: Some(yaml), ..self }
    }
}

impl Peer {
    /// All proxies.
    const ALL: [Self; 6] = [Self::Ours, Self::Hyper, Self::Pingora, Self::Nginx, Self::HaProxy, Self::Caddy];

    /// Returns the proxies that are installed, and notes the others.
    pub(crate) fn available(sheet: &mut Sheet) -> Vec<Self> {
        let is_available = |peer: &Self| match peer.program() {
            Ok(_) => {
                if let Some(version) = peer.version() {
                    sheet.note(version);
                }
                true
            }
            Err(reason) => {
                sheet.note(format!("skipped {}: {reason}", peer.name()));
                false
            }
        };
        Self::ALL.into_iter().filter(is_available).collect()
    }

    /// Returns the name of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Hyper => "minimal hyper",
            Self::Pingora => "Pingora",
            Self::Nginx => "nginx",
            Self::HaProxy => "HAProxy",
            Self::Caddy => "Caddy",
        }
    }

    /// Returns whether it can have TLS here.
    pub(crate) fn has_tls(self) -> bool {
        self != Self::Pingora
    }

    /// Returns its program, or why there is none.
    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Ours => rust::balancer_program(),
            Self::Hyper => rust::beside_this_program("hyper-proxy"),
            Self::Pingora => rust::pingora_program(),
            Self::Nginx => installed("nginx"),
            Self::HaProxy => installed("haproxy"),
            Self::Caddy => installed("caddy"),
        }
    }

    /// Returns the first line about its version, if it prints one.
    fn version(self) -> Option<String> {
        let option = match self {
            Self::Hyper | Self::Pingora => return None,
            Self::Nginx | Self::HaProxy => "-v",
            Self::Ours => "--version",
            Self::Caddy => "version",
        };
        let output = Command::new(self.program().ok()?).arg(option).output().ok()?;
        // nginx prints it to stderr.
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find(|line| !line.trim().is_empty())?.to_owned();
        Some(if self == Self::Caddy { format!("Caddy {line}") } else { line })
    }

    /// Starts it. Returns when it accepts connections.
    pub(crate) async fn start(self, setup: &Setup) -> Result<Running> {
        let program = self.program()?;
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let ports = [free_port()?, free_port()?];
        if setup.has_tls {
            certificate::write_pair(directory.path())?;
        }
        let command = match self {
            Self::Ours => rust::serve(&program, directory.path(), ports, setup)?,
            Self::Hyper => rust::hyper(&program, directory.path(), ports, setup),
            Self::Pingora => rust::pingora(&program, ports, setup),
            Self::Nginx | Self::HaProxy | Self::Caddy => {
                configured::command(self, &program, directory.path(), ports, setup)?
            }
        };
        Running::start(self.name(), command, directory, ports, setup.has_tls).await
    }
}

/// Returns the path of an installed program.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = directories.map(|directory| directory.join(name)).find(|program| program.is_file());
    found.ok_or_else(|| format!("{name} is not installed"))
}

/// Returns a port of loopback that is free now.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|addr| addr.port()).map_err(|error| error.to_string())
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
