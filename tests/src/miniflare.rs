//! The built Worker on miniflare, which adds to workerd what Cloudflare has: storage of Durable
//! Objects, Workers KV, caches and cron triggers.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::log::Log;
use crate::workerd::BuiltWorker;
use crate::{within, yaml::Yaml};

/// A Worker of [`Miniflare`].
#[derive(Debug)]
pub struct Deployment<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its configuration.
    pub yaml: String,
    /// `object`, `kv` or both. Instead of `object`, `counted object`: one that logs its requests
    /// and the rows it writes, or `hung object`: one that does not respond.
    pub bindings: &'a [&'a str],
    /// Its secrets, by name.
    pub secrets: Value,
}

/// Running Workers, each in an isolate of its own. They share the Durable Object and the KV
/// namespace. Killed on drop.
pub struct Miniflare {
    child: Child,
    stdin: ChildStdin,
    addrs: Value,
    log: Log,
    /// The Worker that the Durable Object belongs to.
    owner: String,
    storage: Arc<TempDir>,
}

/// What outlives a restart.
pub struct Storage(Arc<TempDir>);

impl Storage {
    /// Creates an empty storage.
    pub fn new() -> Self {
        Self(Arc::new(tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().expect("a temporary directory")))
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Deployment<'a> {
    /// Creates a Worker without secrets.
    pub fn new(name: &'a str, yaml: impl Into<Yaml>, bindings: &'a [&'a str]) -> Self {
        Self { name, yaml: yaml.into().0, bindings, secrets: json!({}) }
    }
}

impl Miniflare {
    /// Starts Workers with what `storage` holds. The Durable Object belongs to the first one.
    pub async fn start(storage: &Storage, workers: &[Deployment<'_>]) -> Self {
        Self::start_with(storage, storage, workers.first().expect("a Worker").name, workers).await
    }

    /// Starts other Workers in a process of their own. They share the Durable Object of this one,
    /// and nothing else.
    pub async fn start_beside(&self, workers: &[Deployment<'_>]) -> Self {
        Self::start_with(&Storage::new(), &Storage(Arc::clone(&self.storage)), &self.owner, workers).await
    }

    /// Starts Workers. The processes with the same `registry` find the Workers of each other.
    async fn start_with(storage: &Storage, registry: &Storage, owner: &str, workers: &[Deployment<'_>]) -> Self {
        let built = BuiltWorker::find().unwrap_or_else(|error| panic!("{error}"));
        let worker = |it: &Deployment<'_>| {
            let Deployment { name, yaml, bindings, secrets } = it;
            json!({ "name": name, "yaml": yaml, "bindings": bindings, "secrets": secrets })
        };
        let workers: Vec<Value> = workers.iter().map(worker).collect();
        let options = json!({
            "directory": built.path(),
            "persist": storage.0.path(),
            "registry": registry.0.path().join("registry"),
            "owner": owner,
            "workers": workers,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/miniflare.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: workerd is a child of node.
            .process_group(0)
            .spawn()
            .expect("node is installed");
        let (log, (sender, started)) = (Log::default(), oneshot::channel());
        read(child.stdout.take().expect("piped"), log.clone(), Some(sender));
        read(child.stderr.take().expect("piped"), log.clone(), None);
        let stdin = child.stdin.take().expect("piped");
        let (owner, storage) = (owner.to_owned(), Arc::clone(&storage.0));
        let mut miniflare = Self { child, stdin, addrs: Value::Null, log, owner, storage };
        let line = within("miniflare to start", started).await;
        let line = line.unwrap_or_else(|_| panic!("miniflare ended:\n{}", miniflare.log.text()));
        miniflare.addrs = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", miniflare.log.text()));
        miniflare
    }

    /// Returns a client of a Worker.
    pub fn client(&self, name: &str) -> Client {
        Client::new(self.addr(name))
    }

    /// Returns the address of a Worker.
    pub fn addr(&self, name: &str) -> SocketAddr {
        let url = self.addrs[name].as_str().expect("a Worker of this name");
        url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// Returns the id of the process of miniflare, whose child is workerd.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fires the cron trigger of a Worker.
    pub fn fire_cron(&mut self, name: &str) {
        writeln!(self.stdin, "{name}").expect("node reads its input");
    }

    /// Returns the log of all Workers.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Miniflare {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
        let _ = self.child.wait();
    }
}

/// Copies lines into the log. The first one goes to `first`.
fn read(output: impl std::io::Read + Send + 'static, log: Log, mut first: Option<oneshot::Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.line(&line);
            if line.starts_with('{') {
                let _ = first.take().map(|first| first.send(line));
            }
        }
    });
}
