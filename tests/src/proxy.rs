//! The native proxy, as an operator runs it: the program `tunnel-balancer serve`.
//!
//! A case sees what an operator sees: the file, the arguments, the log on stdout, signals, and how
//! it ends. Each one has a process of its own, which is killed and waited for when it is dropped,
//! also by a panic.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
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

/// The program, instead of the one that `cargo build -p tunnel-balancer` puts beside this suite.
pub const PROXY: &str = "TUNNEL_BALANCER_PROXY";

/// The program.
#[derive(Clone, Debug)]
pub struct Proxy {
    program: PathBuf,
    /// The limit of open files; `None`: that of this process.
    open_files: Option<u32>,
}

/// A running proxy: a [`Client`] of its first address, with a log. Killed and waited for on drop.
pub struct Process {
    child: Child,
    over: Gate,
    log: Log,
    addrs: Vec<SocketAddr>,
    file: TempDir,
    client: Client,
}

/// Why it does not run.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended; `None` if it could not be started.
    pub status: Option<ExitStatus>,
    /// What it wrote to stderr, or why it could not be started.
    pub errors: String,
}

impl Proxy {
    /// Finds it, or says what to do.
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
        Ok(Self { program, open_files: None })
    }

    /// Sets a limit of open files, which the program cannot raise.
    pub fn with_open_files(&self, most: u32) -> Self {
        Self { open_files: Some(most), ..self.clone() }
    }

    fn command(&self) -> Command {
        let Some(most) = self.open_files else { return Command::new(&self.program) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\"")).arg(&self.program);
        shell
    }

    /// Starts it with a configuration and more arguments; `roots`, a file, replaces the machine's
    /// root certificates. Serves, on any port of loopback unless the arguments say otherwise, when
    /// this returns.
    pub async fn start(
        &self,
        yaml: &str,
        arguments: &[&str],
        log: &Log,
        roots: Option<&str>,
    ) -> Result<Process, Refusal> {
        let unable = |error: std::io::Error| Refusal { status: None, errors: error.to_string() };
        let file = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().map_err(unable)?;
        let path = file.path().join("services.yaml");
        fs::write(&path, yaml).map_err(unable)?;
        let listeners = arguments.iter().filter(|argument| **argument == "--listen").count();
        let anywhere: &[&str] = if listeners == 0 { &["--listen", "127.0.0.1:0"] } else { &[] };
        let mut child = self
            .command()
            .arg("serve")
            .arg(&path)
            .args(anywhere)
            .args(arguments)
            .env(SECRET.0, SECRET.1)
            .envs(roots.map(|file| ("SSL_CERT_FILE", file)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(unable)?;
        let (errors, over, told) = (Log::default(), Gate::closed(), Gate::closed());
        read(child.stderr.take(), vec![log.clone(), errors.clone()], told.clone());
        read(child.stdout.take(), vec![log.clone()], over.clone());
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut process = Process { child, over, log: log.clone(), addrs: Vec::new(), file, client };
        tokio::select! {
            text = log.until("the proxy to listen", |text| listening(text).len() >= listeners.max(1)) => {
                process.addrs = listening(&text);
                process.client = Client::new(process.addrs[0]);
                Ok(process)
            }
            () = process.over.passed() => {
                let status = process.exit().await;
                told.passed().await;
                Err(Refusal { status: Some(status), errors: errors.text() })
            }
        }
    }
}

impl Process {
    /// Where it listens, in the order of the arguments.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The events of this name that it has logged so far.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.log.text()).filter(|event| event["event"] == name).collect()
    }

    /// Waits until it has logged `count` events of this name; returns them.
    pub async fn logged(&self, name: &str, count: usize) -> Vec<Value> {
        let wanted = |text: &str| events(text).filter(|event| event["event"] == name).collect::<Vec<_>>();
        let what = format!("{count} events {name:?} in the log");
        let text = self.log.until(&what, |text| wanted(text).len() >= count).await;
        wanted(&text)
    }

    /// Puts another configuration in the place of the one it was started with, in one step, as
    /// editors do.
    pub fn edit(&self, yaml: impl Into<Yaml>) {
        let (path, new) = (self.file.path().join("services.yaml"), self.file.path().join("new"));
        fs::write(&new, yaml.into().0).and_then(|()| fs::rename(new, path)).expect("a directory of our own");
    }

    /// Removes the file of the configuration.
    pub fn remove(&self) {
        fs::remove_file(self.file.path().join("services.yaml")).expect("a directory of our own");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process of our own");
    }

    /// Waits until it has ended by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        within("the proxy to end", self.over.passed()).await;
        self.child.wait().expect("a process of our own")
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the proxy has ended ({status}):\n{}", self.errors),
            None => write!(f, "the proxy cannot be started: {}", self.errors),
        }
    }
}

/// The lines of a log that are objects of JSON.
pub fn events(log: &str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object)
}

fn listening(log: &str) -> Vec<SocketAddr> {
    let announced = events(log).filter(|event| event["event"] == "listening");
    announced.filter_map(|event| event["address"].as_str()?.parse().ok()).collect()
}

/// Copies an output into logs, on a thread that ends with the process, and opens `over` at the end.
fn read(output: Option<impl Read + Send + 'static>, logs: Vec<Log>, over: Gate) {
    let output = BufReader::new(output.expect("the output is piped"));
    std::thread::spawn(move || {
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            logs.iter().for_each(|log| log.line(&line));
        }
        over.open();
    });
}
