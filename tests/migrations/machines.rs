//! The machines of a page, as directories: `ssh`, `scp`, and the services of systemd.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::account::ingress;
use crate::daemons::{self, Daemons};
use crate::edge::Edge;

/// The name of cloudflared's service.
const SERVICE: &str = "cloudflared";
const CONFIG: &str = "/etc/cloudflared/config.yml";

/// Machines with cloudflared.
pub(crate) struct Machines {
    directory: PathBuf,
    edge: Edge,
    /// The machines with cloudflared's service.
    installed: BTreeSet<String>,
    daemons: Daemons,
    serve: Serve,
}

/// How `tunnel-balancer serve` is run.
pub(crate) struct Serve {
    pub(crate) program: PathBuf,
    /// Its address on this machine.
    pub(crate) listens: SocketAddr,
    pub(crate) variables: Vec<(String, String)>,
}

impl Machines {
    pub(crate) fn new(directory: PathBuf, edge: Edge, serve: Serve) -> Self {
        Self { directory, edge, installed: BTreeSet::new(), daemons: Daemons::default(), serve }
    }

    /// Adds a service that runs as a program.
    pub(crate) fn daemons(&mut self) -> &mut Daemons {
        &mut self.daemons
    }

    /// Installs and starts the service of cloudflared on a machine.
    ///
    /// # Errors
    /// The message of cloudflared.
    pub(crate) fn install(&mut self, machine: &str) -> Result<String, String> {
        if !self.installed.insert(machine.to_owned()) {
            return Err("cloudflared service is already installed".to_owned());
        }
        self.start(machine, SERVICE)?;
        Ok("INF Linux service for cloudflared installed successfully\n".to_owned())
    }

    /// Writes a file of a machine.
    pub(crate) fn write(&self, machine: &str, path: &str, text: &str) {
        let path = self.path(machine, path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory of our own");
        fs::write(path, text).expect("a directory of our own");
    }

    /// Runs `ssh root@MACHINE COMMAND...`.
    ///
    /// # Errors
    /// The message of the command.
    pub(crate) async fn ssh(&mut self, arguments: &[&str]) -> Result<String, String> {
        // The ports of the machine are those of this one.
        if let ["-f", "-L", _, "-L", _, "root@home", "sleep", _] = arguments {
            return Ok(String::new());
        }
        let (machine, command) = arguments.split_first().ok_or("no machine")?;
        let machine = machine.strip_prefix("root@").ok_or("only root can edit files of cloudflared")?;
        match command {
            ["mkdir", "-p", path] => {
                fs::create_dir_all(self.path(machine, path)).map_err(|error| error.to_string())?;
                Ok(String::new())
            }
            ["systemctl", "enable", "--now", unit] => {
                if let Ok(text) = self.read(machine, &format!("/etc/systemd/system/{unit}.service")) {
                    let Serve { program, listens, variables } = &self.serve;
                    let root = self.path(machine, "/");
                    let daemon = daemons::of_unit(&text, &root, program.clone(), *listens, variables.clone())?;
                    self.daemons.add(unit, daemon);
                }
                self.daemons.start(unit).await
            }
            ["systemctl", "disable", "--now", unit] => self.daemons.stop(unit).await,
            ["systemctl", verb, unit] => self.systemctl(machine, verb, unit).await,
            [
                "systemd-run",
                unit,
                "--service-type=notify",
                "cloudflared",
                "--no-autoupdate",
                "--config",
                CONFIG,
                "tunnel",
                "run",
            ] => {
                let unit = unit.strip_prefix("--unit=").ok_or("no unit")?;
                self.start(machine, unit)?;
                Ok(format!("Running as unit: {unit}.service\n"))
            }
            ["cloudflared", "--config", CONFIG, "tunnel", "ingress", "validate"] => {
                ingress(&self.read(machine, CONFIG)?)?;
                Ok(format!("Validating rules from {CONFIG}\nOK\n"))
            }
            ["cloudflared", "--config", CONFIG, "service", "install"] => self.install(machine),
            ["cloudflared", "service", "uninstall"] => {
                self.stop(machine, SERVICE)?;
                self.installed.remove(machine);
                Ok("INF Linux service for cloudflared uninstalled successfully\n".to_owned())
            }
            _ => Err(format!("unknown command on {machine}: {command:?}")),
        }
    }

    /// Runs `scp FROM TO` in a directory of the own computer.
    ///
    /// # Errors
    /// If a file cannot be copied.
    pub(crate) fn scp(&self, arguments: &[&str], directory: &Path) -> Result<String, String> {
        let [from, to] = arguments else { return Err(format!("unknown arguments {arguments:?}")) };
        let path = |name: &str| match name.split_once(':') {
            Some((machine, path)) => self.path(machine.trim_start_matches("root@"), path),
            None => directory.join(name),
        };
        if to.contains(":/etc/systemd/") {
            // systemd has created this directory.
            fs::create_dir_all(path(to).parent().ok_or("no directory")?).map_err(|error| error.to_string())?;
        }
        fs::copy(path(from), path(to)).map_err(|error| format!("{from} to {to}: {error}"))?;
        Ok(String::new())
    }

    async fn systemctl(&self, machine: &str, verb: &str, unit: &str) -> Result<String, String> {
        if unit == SERVICE && !self.installed.contains(machine) {
            return Err("Unit cloudflared.service not found.".to_owned());
        }
        match verb {
            "start" => self.start(machine, unit)?,
            "stop" => self.stop(machine, unit)?,
            "restart" => {
                self.stop(machine, unit)?;
                // The time until cloudflared is connected again.
                self.edge.further_requests(6).await;
                self.start(machine, unit)?;
            }
            _ => return Err(format!("unknown verb {verb}")),
        }
        Ok(String::new())
    }

    /// Starts a cloudflared, which reads its file now and is connected when this returns.
    fn start(&self, machine: &str, unit: &str) -> Result<(), String> {
        let (tunnel, rules) = match self.read(machine, CONFIG) {
            Ok(config) => ingress(&config)?,
            // The service was installed with a token, and gets its rules from the dashboard.
            Err(_) => (self.read(machine, "/etc/cloudflared/token")?, Vec::new()),
        };
        let mut account = self.edge.account();
        let name = account.tunnel(tunnel.trim()).ok_or_else(|| format!("unknown tunnel {tunnel}"))?;
        let connectors = &mut account.tunnels.get_mut(&name).ok_or("no tunnel")?.connectors;
        match connectors.insert((machine.to_owned(), unit.to_owned()), rules) {
            None => Ok(()),
            Some(_) => Err(format!("Unit {unit}.service was already loaded")),
        }
    }

    fn stop(&self, machine: &str, unit: &str) -> Result<(), String> {
        let key = (machine.to_owned(), unit.to_owned());
        let mut account = self.edge.account();
        let stopped = account.tunnels.values_mut().filter_map(|tunnel| tunnel.connectors.remove(&key)).count();
        if stopped == 1 { Ok(()) } else { Err(format!("Unit {unit}.service not loaded.")) }
    }

    fn read(&self, machine: &str, path: &str) -> Result<String, String> {
        fs::read_to_string(self.path(machine, path)).map_err(|error| format!("{path}: {error}"))
    }

    fn path(&self, machine: &str, path: &str) -> PathBuf {
        self.directory.join(machine).join(path.trim_start_matches('/'))
    }
}
