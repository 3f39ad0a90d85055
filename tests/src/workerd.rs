//! The built Worker on workerd, the runtime of Cloudflare.
//!
//! Redirects, body streams, exceptions and cancellation depend on the `fetch` of the runtime, so no
//! substitute is used. Each target is a separate process with a cold isolate. Its configuration
//! allows connections to loopback only. It is killed when it is dropped, also by a panic.

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

/// The compatibility date, which must be that of `wrangler.toml`.
pub const COMPATIBILITY_DATE: &str = "2026-04-24";

/// The variable that names another directory with `index.js` and `index_bg.wasm` than that of
/// `cargo xtask build`.
pub const WORKER_DIR: &str = "TUNNEL_BALANCER_WORKER_DIR";

/// The variable that names another workerd than the one in `node_modules`, except the newest.
pub const WORKERD: &str = "TUNNEL_BALANCER_WORKERD";

/// The Worker that panics on demand, at the root of the repository.
const PANICKING: &str = "target/worker-panic-on-demand";

const SCRIPT: &str = "index.js";
const WASM: &str = "index_bg.wasm";

/// The module that limits subrequests.
const LIMIT: &str = "limit.js";

/// A built Worker and its runtime.
#[derive(Clone, Debug)]
pub struct BuiltWorker {
    directory: PathBuf,
    program: PathBuf,
    is_newest: bool,
    max_subrequests: Option<u32>,
}

/// A running workerd. Killed and waited for on drop.
pub struct Process {
    child: Child,
    exited: Gate,
    _files: TempDir,
}

impl BuiltWorker {
    /// Finds both, or returns how to build or install them.
    pub fn find() -> Result<Self, String> {
        Self::at(Self::directory(), "cargo xtask build")
    }

    /// Finds both with the newest workerd instead of the one that wrangler uses, or returns how to
    /// build or install them.
    pub fn find_newest() -> Result<Self, String> {
        let program = installed("node_modules/workerd-newest/node_modules")?;
        Ok(Self { program, is_newest: true, ..Self::find()? })
    }

    /// Returns whether its workerd is the newest.
    pub fn is_newest(&self) -> bool {
        self.is_newest
    }

    /// Finds the build that panics on request, or returns how to build it.
    pub fn find_panicking() -> Result<Self, String> {
        Self::at(root().join(PANICKING), "cargo xtask build --panic-on-demand")
    }

    /// Reads the compiled Worker.
    pub fn wasm(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.directory.join(WASM))
    }

    fn at(directory: PathBuf, built_by: &str) -> Result<Self, String> {
        for file in [SCRIPT, WASM] {
            if !directory.join(file).is_file() {
                let directory = directory.display();
                return Err(format!("no {file} in {directory}: run `{built_by}` first"));
            }
        }
        let program = match env::var_os(WORKERD) {
            Some(program) => PathBuf::from(program),
            None => installed("node_modules")?,
        };
        Ok(Self { directory, program, is_newest: false, max_subrequests: None })
    }

    fn directory() -> PathBuf {
        env::var_os(WORKER_DIR).map_or_else(|| root().join("crates/worker/build"), PathBuf::from)
    }

    /// Limits subrequests, as Cloudflare does per invocation. workerd has no such limit, so a
    /// module around the Worker counts those of the whole process.
    #[must_use]
    pub fn with_max_subrequests(mut self, limit: u32) -> Self {
        self.max_subrequests = Some(limit);
        self
    }

    /// Starts it with a configuration on a loopback port (0: any). Returns when it listens.
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
        let exited = Gate::closed();
        read(child.stderr.take(), log.clone(), None, Gate::closed());
        read(child.stdout.take(), log.clone(), Some(sender), exited.clone());
        let process = Process { child, exited, _files: files };
        match tokio::time::timeout(crate::TIMEOUT, listening).await {
            Ok(Ok(port)) => Ok((SocketAddr::from(([127, 0, 0, 1], port)), process)),
            Ok(Err(_)) => Err(format!("workerd ended before it listened:\n{}", log.text())),
            Err(_) => Err(format!("workerd did not listen within {:?}:\n{}", crate::TIMEOUT, log.text())),
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
    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub async fn exited(&self) {
        self.exited.passed().await;
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

/// Returns the configuration of workerd. `allow = ["local"]` is loopback only, so a case cannot
/// reach any other host.
fn config(port: u16, is_limited: bool) -> String {
    let (secret, value) = SECRET;
    // The first module is the main one.
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

/// Returns a module that runs the Worker with a limit of subrequests. The message is that of
/// Cloudflare's runtime.
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

/// Returns the workerd below a directory of npm packages.
fn installed(packages: &str) -> Result<PathBuf, String> {
    let program = root().join(packages).join(format!("@cloudflare/{}/bin/workerd", package()?));
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("no workerd at {}: run `npm ci` first", program.display()))
    }
}

/// Returns the npm package of workerd for this machine.
fn package() -> Result<&'static str, String> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Ok("workerd-linux-64"),
        ("linux", "aarch64") => Ok("workerd-linux-arm64"),
        ("macos", "x86_64") => Ok("workerd-darwin-64"),
        ("macos", "aarch64") => Ok("workerd-darwin-arm64"),
        (os, arch) => Err(format!("no workerd is published for {os} on {arch}; set {WORKERD} to its path")),
    }
}

/// Copies an output into the log on a thread of its own, reports the port that workerd announces,
/// and opens `end` when the output ends.
fn read(output: Option<impl Read + Send + 'static>, log: Log, mut announce: Option<oneshot::Sender<u16>>, end: Gate) {
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
        end.open();
    });
}

/// Returns the port in `{"event":"listen","socket":"http","port":8787}`, a line of `--control-fd`.
fn announced_port(line: &str) -> Option<u16> {
    let rest = line.strip_prefix(r#"{"event":"listen","socket":"http","port":"#)?;
    rest.trim_end_matches('}').parse().ok()
}
