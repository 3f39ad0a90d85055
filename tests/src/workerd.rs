//! The built Worker on real workerd, the runtime that Cloudflare runs.
//!
//! Only the real runtime has the real `fetch`: its redirects, its body streams, its exceptions, its
//! cancelled waiters. Each target gets a process (and so a cold isolate) of its own, with a
//! configuration that allows connections to loopback and nowhere else, and is killed and waited for
//! when it is dropped, also by a panic.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::log::Log;
use crate::target::SECRET;

/// Must be the compatibility date of `wrangler.toml`: it decides how the runtime behaves.
pub const COMPATIBILITY_DATE: &str = "2026-04-24";

/// Directory with `index.js` and `index_bg.wasm`, instead of the one that `cargo xtask build`
/// writes.
pub const WORKER_DIR: &str = "TUNNEL_BALANCER_WORKER_DIR";

/// The workerd program, instead of the one in `node_modules`.
pub const WORKERD: &str = "TUNNEL_BALANCER_WORKERD";

/// The Worker that panics on demand, at the root of the repository.
const PANICKING: &str = "target/worker-panic-on-demand";

const SCRIPT: &str = "index.js";
const WASM: &str = "index_bg.wasm";

/// The module that limits subrequests.
const LIMIT: &str = "limit.js";

/// A built Worker and a runtime for it.
#[derive(Clone, Debug)]
pub struct BuiltWorker {
    directory: PathBuf,
    program: PathBuf,
    max_subrequests: Option<u32>,
}

/// A running workerd. Killed and waited for on drop.
pub struct Process {
    child: Child,
    over: Gate,
    _files: TempDir,
}

impl BuiltWorker {
    /// Finds both, or says what to do.
    pub fn find() -> Result<Self, String> {
        let directory = env::var_os(WORKER_DIR).map_or_else(|| root().join("crates/worker/build"), PathBuf::from);
        Self::at(directory, "cargo xtask build")
    }

    /// Finds the debug build that panics when a request asks for it, or says what to do.
    pub fn find_panicking() -> Result<Self, String> {
        Self::at(root().join(PANICKING), "cargo xtask build --panic-on-demand")
    }

    /// The compiled Worker.
    pub fn wasm(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.directory.join(WASM))
    }

    fn at(directory: PathBuf, built_by: &str) -> Result<Self, String> {
        for file in [SCRIPT, WASM] {
            if !directory.join(file).is_file() {
                let directory = directory.display();
                return Err(format!("no {file} in {directory}: build the Worker first, with `{built_by}`"));
            }
        }
        let program = match env::var_os(WORKERD) {
            Some(program) => PathBuf::from(program),
            None => root().join(format!("node_modules/@cloudflare/{}/bin/workerd", package()?)),
        };
        if !program.is_file() {
            return Err(format!("no workerd at {}: install it first, with `npm ci`", program.display()));
        }
        Ok(Self { directory, program, max_subrequests: None })
    }

    /// Has the platform refuse subrequests beyond `limit`, as Cloudflare does for each invocation.
    /// workerd has no limit, so a module around the Worker counts those of the whole process.
    #[must_use]
    pub fn with_max_subrequests(mut self, limit: u32) -> Self {
        self.max_subrequests = Some(limit);
        self
    }

    /// Starts it with a configuration, on a loopback port (0: any). Ready to serve when this
    /// returns.
    pub async fn start(&self, yaml: &str, port: u16, log: &Log) -> Result<(SocketAddr, Process), String> {
        let files =
            self.files(yaml, port).map_err(|error| format!("cannot write the configuration of workerd: {error}"))?;
        let mut child = Command::new(&self.program)
            .args(["serve", "--control-fd=1"])
            .arg(files.path().join("config.capnp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        let (sender, listening) = oneshot::channel();
        let over = Gate::closed();
        read(child.stderr.take(), log.clone(), None, Gate::closed());
        read(child.stdout.take(), log.clone(), Some(sender), over.clone());
        let process = Process { child, over, _files: files };
        match tokio::time::timeout(crate::PATIENCE, listening).await {
            Ok(Ok(port)) => Ok((SocketAddr::from(([127, 0, 0, 1], port)), process)),
            Ok(Err(_)) => Err(format!("workerd ended before it listened:\n{}", log.text())),
            Err(_) => Err(format!("workerd did not listen within {:?}:\n{}", crate::PATIENCE, log.text())),
        }
    }

    fn files(&self, yaml: &str, port: u16) -> std::io::Result<TempDir> {
        let files = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir()?;
        for file in [SCRIPT, WASM] {
            fs::copy(self.directory.join(file), files.path().join(file))?;
        }
        fs::write(files.path().join("services.yaml"), yaml)?;
        if let Some(limit) = self.max_subrequests {
            fs::write(files.path().join(LIMIT), limiting_module(limit))?;
        }
        fs::write(files.path().join("config.capnp"), config(port, self.max_subrequests.is_some()))?;
        Ok(files)
    }
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub async fn over(&self) {
        self.over.passed().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// workerd's own configuration. `allow = ["local"]` is loopback only: a case can never reach the
/// outside.
fn config(port: u16, is_limited: bool) -> String {
    let (secret, value) = SECRET;
    // The first module is the one that is run.
    let limit = if is_limited { format!(r#"(name = "{LIMIT}", esModule = embed "{LIMIT}"),"#) } else { String::new() };
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [
        {limit}
        (name = "{SCRIPT}", esModule = embed "{SCRIPT}"),
        (name = "{WASM}", wasm = embed "{WASM}"),
      ],
      compatibilityDate = "{COMPATIBILITY_DATE}",
      bindings = [
        (name = "SERVICES_YAML", text = embed "services.yaml"),
        (name = "{secret}", text = "{value}"),
      ],
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "worker")],
);
"#
    )
}

/// A module that runs the Worker with a limit of subrequests. The message is that of Cloudflare's
/// runtime.
fn limiting_module(limit: u32) -> String {
    format!(
        r#"const send = globalThis.fetch;
let left = {limit};
globalThis.fetch = (...request) =>
  left-- > 0 ? send(...request) : Promise.reject(new Error("Too many subrequests by single Worker invocation."));
export * from "./{SCRIPT}";
export {{ default }} from "./{SCRIPT}";
"#
    )
}

/// The npm package that holds workerd for this machine.
fn package() -> Result<&'static str, String> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Ok("workerd-linux-64"),
        ("linux", "aarch64") => Ok("workerd-linux-arm64"),
        ("macos", "x86_64") => Ok("workerd-darwin-64"),
        ("macos", "aarch64") => Ok("workerd-darwin-arm64"),
        (os, arch) => Err(format!("no workerd is published for {os} on {arch}; name one in {WORKERD}")),
    }
}

/// Copies an output into the log, on a thread that ends with the process, reports the port that
/// workerd announces, and opens `over` at the end.
fn read(output: Option<impl Read + Send + 'static>, log: Log, mut announce: Option<oneshot::Sender<u16>>, over: Gate) {
    let output = BufReader::new(output.expect("the output is piped"));
    std::thread::spawn(move || {
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            match announced_port(&line) {
                Some(port) if announce.is_some() => {
                    let _ = announce.take().map(|announce| announce.send(port));
                }
                _ => log.line(&line),
            }
        }
        over.open();
    });
}

/// The port in `{"event":"listen","socket":"http","port":8787}`, what `--control-fd` writes.
fn announced_port(line: &str) -> Option<u16> {
    let rest = line.strip_prefix(r#"{"event":"listen","socket":"http","port":"#)?;
    rest.trim_end_matches('}').parse().ok()
}
