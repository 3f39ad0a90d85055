//! Services that run as programs on this machine: `tunnel-balancer serve`, and the proxy before it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tunnel_balancer_tests::within;

use crate::edge;

/// Services by the names of their units.
#[derive(Default)]
pub(crate) struct Daemons {
    known: BTreeMap<String, Daemon>,
    running: BTreeMap<String, Running>,
}

/// A service.
pub(crate) enum Daemon {
    /// A program that listens on an address. Its errors are written to a file.
    Program {
        program: PathBuf,
        arguments: Vec<OsString>,
        variables: Vec<(String, String)>,
        listens: SocketAddr,
        errors: PathBuf,
    },
    /// A small proxy, which sends each request to the first server that accepts a connection.
    SmallProxy { listens: SocketAddr, servers: Vec<SocketAddr> },
}

enum Running {
    Child(Child),
    Task(JoinHandle<()>),
}

impl Daemons {
    /// Adds a service, or replaces one that does not run.
    pub(crate) fn add(&mut self, unit: &str, daemon: Daemon) {
        self.known.insert(unit.to_owned(), daemon);
    }

    /// Starts a service. Returns when it listens.
    ///
    /// # Errors
    /// If it is unknown, runs already, or cannot be started.
    pub(crate) async fn start(&mut self, unit: &str) -> Result<String, String> {
        let daemon = self.known.get(unit).ok_or_else(|| format!("Unit {unit}.service not found."))?;
        if self.running.contains_key(unit) {
            return Err(format!("{unit} runs already"));
        }
        match daemon {
            Daemon::Program { program, arguments, variables, listens, errors } => {
                let variables = variables.iter().map(|(name, value)| (name, value));
                let output = fs::File::create(errors).map_err(|error| error.to_string())?;
                let mut command = Command::new(program);
                command.args(arguments).envs(variables).stdout(Stdio::null()).stderr(output);
                let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
                let listening = async {
                    while TcpStream::connect(listens).await.is_err() {
                        if matches!(child.try_wait(), Ok(Some(_))) {
                            return Err(fs::read_to_string(errors).unwrap_or_default());
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Ok(())
                };
                within(&format!("{unit} to listen"), listening).await?;
                self.running.insert(unit.to_owned(), Running::Child(child));
            }
            Daemon::SmallProxy { listens, servers } => {
                let listener = TcpListener::bind(listens).await.map_err(|error| error.to_string())?;
                let task = tokio::spawn(edge::serve_first(listener, servers.clone()));
                self.running.insert(unit.to_owned(), Running::Task(task));
            }
        }
        Ok(String::new())
    }

    /// Stops a service. Returns when it has ended.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) async fn stop(&mut self, unit: &str) -> Result<String, String> {
        let mut running = self.running.remove(unit).ok_or_else(|| format!("Unit {unit}.service not loaded."))?;
        if let Running::Child(child) = &mut running {
            terminate(child);
            let ended = async {
                while !matches!(child.try_wait(), Ok(Some(_))) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            within(&format!("{unit} to end"), ended).await;
        }
        Ok(String::new())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Child(child) => {
                // A killed nginx would leave its workers.
                terminate(child);
                let _ = child.wait();
            }
            Self::Task(task) => task.abort(),
        }
    }
}

/// Sends SIGTERM to a process that has not been waited for.
fn terminate(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
    }
}

/// Returns the service of a unit file of systemd on a machine with this root directory.
///
/// # Errors
/// If the file does not have the expected lines.
pub(crate) fn of_unit(
    unit: &str,
    root: &Path,
    program: PathBuf,
    listens: SocketAddr,
    mut variables: Vec<(String, String)>,
) -> Result<Daemon, String> {
    let path = |path: &str| root.join(path.trim_start_matches('/'));
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let command = value("ExecStart").and_then(|line| line.strip_prefix("/usr/local/bin/tunnel-balancer "));
    let words = command.ok_or("the unit does not start tunnel-balancer")?.split(' ');
    let is_file = |word: &str| word.starts_with("/etc/");
    let arguments = words.map(|word| if is_file(word) { path(word).into() } else { word.into() }).collect();
    let file = path(value("EnvironmentFile").ok_or("no EnvironmentFile")?);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let assignments = text.lines().filter_map(|line| line.split_once('='));
    variables.extend(assignments.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(Daemon::Program { program, arguments, variables, listens, errors: path("serve.log") })
}

/// Returns the service of a real proxy with the configuration of a page, whose addresses are
/// replaced. Its other files are in `directory`.
pub(crate) fn real_proxy(
    program: &str,
    configuration: &str,
    directory: &Path,
    listens: SocketAddr,
    servers: [SocketAddr; 2],
) -> Daemon {
    let own = configuration
        .replace("192.168.1.10:3000", &servers[0].to_string())
        .replace("192.168.1.11:3000", &servers[1].to_string())
        .replace("listen 80", &format!("listen {listens}"))
        .replace("bind :80", &format!("bind {listens}"))
        .replace("http://chat.example.com {", &format!("http://chat.example.com:{} {{", listens.port()));
    let place = directory.display();
    let (text, mut arguments): (String, Vec<OsString>) = match program {
        "caddy" => (
            format!("{{\n    admin off\n}}\n{own}"),
            ["run", "--adapter", "caddyfile", "--config"].map(Into::into).into(),
        ),
        "nginx" => {
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths = paths.map(|name| format!("{name}_temp_path {place}/{name};\n")).concat();
            let main = format!("daemon off; pid {place}/nginx.pid; error_log stderr;");
            let text = format!("events {{}}\nhttp {{\naccess_log off;\n{paths}{own}}}\n");
            (text, ["-p".into(), directory.into(), "-g".into(), main.into(), "-c".into()].into())
        }
        _ => {
            let defaults =
                "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n";
            (format!("{defaults}{own}"), ["-db", "-f"].map(Into::into).into())
        }
    };
    let file = directory.join("configuration");
    fs::write(&file, text).expect("a directory of our own");
    arguments.push(file.into());
    let variables = vec![("HOME".to_owned(), place.to_string())];
    Daemon::Program { program: program.into(), arguments, variables, listens, errors: directory.join("errors") }
}
