//! The native proxy: the program `tunnel-balancer serve`.
//!
//! A case uses the interface of an operator: the file, the arguments, the log on stdout, signals
//! and the exit status. Each target is a separate process, which is killed when it is dropped, also
//! by a panic.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fmt, fs};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::gate::Gate;
use crate::log::Log;
use crate::target::SECRET;
use crate::within;
use crate::yaml::Yaml;

pub use rustix::process::Signal;

/// The variable that names another program than the one that `cargo build -p tunnel-balancer`
/// builds.
pub const PROXY: &str = "TUNNEL_BALANCER_PROXY";

/// The secret of [`Proxy`] and of the Worker with which it shares health: its variable and value.
pub const MONITOR_KEY: (&str, &str) = ("BALANCER_MONITOR_KEY", "a key that the tests use");

/// The token of a monitor for Cloudflare's API: its variable and value.
pub const API_TOKEN: (&str, &str) = ("CLOUDFLARE_API_TOKEN", "a-token-of-the-tests");

/// The program.
#[derive(Clone, Debug)]
pub struct Proxy {
    program: PathBuf,
    /// The limit of open files. `None`: that of this process.
    open_files: Option<u32>,
    /// Environment variables, apart from the secret of all targets.
    variables: Vec<(String, String)>,
}

/// A running proxy: a [`Client`] of its first address, with a log. Killed and waited for on drop.
pub struct Process {
    child: Child,
    exited: Gate,
    log: Log,
    addrs: Vec<SocketAddr>,
    file: TempDir,
    client: Client,
}

/// The reason why the proxy did not start.
#[derive(Debug)]
pub struct StartError {
    /// The exit status. `None` if the program could not be started.
    pub status: Option<ExitStatus>,
    /// The text on stderr, or why the program could not be started.
    pub errors: String,
}

impl Proxy {
    /// Finds the program, or returns how to build it.
    pub fn find() -> Result<Self, String> {
        let named = env::var_os(PROXY).map(PathBuf::from);
        // target/debug/deps/conformance-0123 -> target/debug/tunnel-balancer
        let built = || Some(env::current_exe().ok()?.parent()?.parent()?.join("tunnel-balancer"));
        let program = named.or_else(built).unwrap_or_default();
        if !program.is_file() {
            let program = program.display();
            return Err(format!(
                "no proxy at {program}: build it first, with `cargo build -p tunnel-balancer`, or name one in {PROXY}"
            ));
        }
        Ok(Self { program, open_files: None, variables: Vec::new() })
    }

    /// Returns the path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Sets a limit of open files, which the program cannot raise.
    pub fn with_open_files(&self, limit: u32) -> Self {
        Self { open_files: Some(limit), ..self.clone() }
    }

    /// Sets environment variables.
    pub fn with_env(&self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: variables.collect(), ..self.clone() }
    }

    /// Returns the command that runs a monitor of this file.
    pub fn monitor(&self, file: &Path) -> Command {
        let mut command = self.command();
        command.args(["monitor", "--file"]).arg(file);
        command.envs([SECRET, MONITOR_KEY, API_TOKEN]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns the command that controls the balancer at `url` with this token.
    pub fn ctl(&self, url: &str, token: &str) -> Command {
        let mut command = self.command();
        command.args(["ctl", "--url", url]).env("BALANCER_CONTROL_TOKEN", token).env("USER", "alice");
        command.stdin(Stdio::null());
        command
    }

    fn command(&self) -> Command {
        let Some(limit) = self.open_files else { return Command::new(&self.program) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\"")).arg(&self.program);
        shell
    }

    /// Starts the proxy and reads its log only until it listens.
    pub async fn start_without_reader(&self, yaml: impl Into<Yaml>) -> Process {
        let log = Log::default();
        let started = self.run(&yaml.into().0, &[], &log, |line| line.contains("listening")).await;
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the proxy with a configuration and more arguments, by default on any port of
    /// loopback. Returns when the proxy listens.
    pub async fn start(&self, yaml: &str, arguments: &[&str], log: &Log) -> Result<Process, StartError> {
        self.run(yaml, arguments, log, |_| false).await
    }

    /// Reads the log until a line is the `last` one.
    async fn run(
        &self,
        yaml: &str,
        arguments: &[&str],
        log: &Log,
        last: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Process, StartError> {
        let unable = |error: std::io::Error| StartError { status: None, errors: error.to_string() };
        let file = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().map_err(unable)?;
        let path = file.path().join("services.yaml");
        fs::write(&path, yaml).map_err(unable)?;
        let listeners = arguments.iter().filter(|argument| **argument == "--listen").count();
        let default_listener: &[&str] = if listeners == 0 { &["--listen", "127.0.0.1:0"] } else { &[] };
        let mut child = self
            .command()
            .args(["serve", "--file"])
            .arg(&path)
            .args(default_listener)
            .args(arguments)
            .env(SECRET.0, SECRET.1)
            .env(MONITOR_KEY.0, MONITOR_KEY.1)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(unable)?;
        let (errors, exited, errors_end) = (Log::default(), Gate::closed(), Gate::closed());
        read(child.stderr.take(), vec![log.clone(), errors.clone()], errors_end.clone(), |_| false);
        read(child.stdout.take(), vec![log.clone()], exited.clone(), last);
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut process = Process { child, exited, log: log.clone(), addrs: Vec::new(), file, client };
        tokio::select! {
            biased;
            text = log.until("the proxy to listen", |text| listening(text).len() >= listeners.max(1)) => {
                process.addrs = listening(&text);
                process.client = Client::new(process.addrs[0]);
                Ok(process)
            }
            () = process.exited.passed() => {
                let status = process.exit().await;
                errors_end.passed().await;
                Err(StartError { status: Some(status), errors: errors.text() })
            }
        }
    }
}

impl Process {
    /// Returns the addresses of the listeners, in the order of the arguments.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the largest amount of memory that it has used so far, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process on Linux");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok()).expect("a size") / 1024
    }

    /// Returns the path of the configuration file.
    pub fn path(&self) -> PathBuf {
        self.file.path().join("services.yaml")
    }

    /// Returns its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns the logged events of this name so far.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.log.text()).filter(|event| event["event"] == name).collect()
    }

    /// Waits for `count` logged events of this name. Returns them.
    pub async fn logged(&self, name: &str, count: usize) -> Vec<Value> {
        let matching = |text: &str| events(text).filter(|event| event["event"] == name).collect::<Vec<_>>();
        let what = format!("{count} events {name:?} in the log");
        let text = self.log.until(&what, |text| matching(text).len() >= count).await;
        matching(&text)
    }

    /// Returns the directory of the configuration file.
    pub fn directory(&self) -> &Path {
        self.file.path()
    }

    /// Replaces the configuration file atomically, as editors do.
    pub fn edit(&self, yaml: impl Into<Yaml>) {
        let (path, new) = (self.path(), self.file.path().join("new"));
        fs::write(&new, yaml.into().0).and_then(|()| fs::rename(new, path)).expect("a writable temporary directory");
    }

    /// Removes the configuration file.
    pub fn remove(&self) {
        fs::remove_file(self.path()).expect("a writable temporary directory");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child process");
    }

    /// Waits until the process has ended by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let exited = async {
            self.exited.passed().await;
            loop {
                match self.child.try_wait().expect("a child process") {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        within("the proxy to end", exited).await
    }
}

impl Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the proxy has ended ({status}):\n{}", self.errors),
            None => write!(f, "the proxy cannot be started: {}", self.errors),
        }
    }
}

/// Returns the lines of a log that are JSON objects.
pub fn events(log: &str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object)
}

fn listening(log: &str) -> Vec<SocketAddr> {
    let announced = events(log).filter(|event| event["event"] == "listening");
    announced.filter_map(|event| event["address"].as_str()?.parse().ok()).collect()
}

/// Copies an output into logs on a thread of its own. After the `last` line it stays open and is
/// not read. Opens `end` when no further line is read.
fn read(
    output: Option<impl Read + Send + 'static>,
    logs: Vec<Log>,
    end: Gate,
    last: impl Fn(&str) -> bool + Send + 'static,
) {
    let mut output = BufReader::new(output.expect("the output is piped"));
    std::thread::spawn(move || {
        for line in output.by_ref().split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            logs.iter().for_each(|log| log.line(&line));
            if last(&line) {
                end.open();
                // Longer than a case takes.
                std::thread::sleep(crate::TIMEOUT * 3);
            }
        }
        end.open();
    });
}
