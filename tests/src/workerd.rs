//! The built Worker on workerd, the runtime of Cloudflare.
//!
//! Redirects, body streams, exceptions and cancellation depend on the `fetch` of the runtime, so no
//! substitute is used. Each target is a separate process with a cold isolate. Its configuration
//! allows connections to loopback only. It is killed when it is dropped, also by a panic.

mod config;
mod installed;

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
use crate::workerd::config::{CACHE_SCRIPT, LIMIT, limiting_module};
use crate::workerd::installed::installed;

/// The compatibility date, which must be that of `wrangler.toml`.
pub const COMPATIBILITY_DATE: &str = "2026-04-24";

/// The variable that names another workerd than the one in `node_modules`, except the newest.
pub const WORKERD: &str = "TUNNEL_BALANCER_WORKERD";

/// The Worker that panics on demand, at the root of the repository.
const PANICKING: &str = "target/worker-panic-on-demand";

const SCRIPT: &str = "index.js";
const WASM: &str = "index_bg.wasm";

/// The modules of the repository that wrangler bundles with the build. The first one is the entry.
const SOURCES: [&str; 2] = ["worker.js", "crates/worker/js/index.js"];

/// Where `SOURCES` import the build from.
const BUILD: &str = "crates/worker/build";

/// The text module with the configuration.
const MODULE: &str = "services.yaml";

/// The file with the variable that overrides the module.
const VARIABLE: &str = "variable.yaml";

/// A built Worker and its runtime.
#[derive(Clone, Debug)]
pub struct BuiltWorker {
    directory: PathBuf,
    program: PathBuf,
    is_newest: bool,
    max_subrequests: Option<u32>,
    /// Whether it gets its configuration as the module instead of the variable.
    uses_module: bool,
    /// Whether it has a cache.
    has_cache: bool,
    /// The secrets, by name.
    secrets: Vec<(String, String)>,
    /// The server that gets all requests of the Worker. `None`: servers on loopback, by their
    /// address.
    outbound: Option<SocketAddr>,
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
        Self::at(root().join(BUILD), "cargo xtask build")
    }

    /// Finds both with the newest workerd instead of the one that wrangler uses, or returns how to
    /// build or install them.
    pub fn find_newest() -> Result<Self, String> {
        let program = installed("node_modules/workerd-newest/node_modules")?;
        Ok(Self { program, is_newest: true, ..Self::find()? })
    }

    /// Returns the directory of the build.
    pub fn path(&self) -> &Path {
        &self.directory
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
        let secret = (SECRET.0.to_owned(), SECRET.1.to_owned());
        let program = match env::var_os(WORKERD) {
            Some(program) => PathBuf::from(program),
            None => installed("node_modules")?,
        };
        Ok(Self {
            directory,
            program,
            is_newest: false,
            max_subrequests: None,
            uses_module: false,
            has_cache: false,
            secrets: vec![secret],
            outbound: None,
        })
    }

    /// Limits subrequests, as Cloudflare does per invocation. workerd has no such limit, so a
    /// module around the Worker counts those of the whole process.
    #[must_use]
    pub fn with_max_subrequests(mut self, limit: u32) -> Self {
        self.max_subrequests = Some(limit);
        self
    }

    /// Sends all requests of the Worker to one server, which distinguishes them by `Host`.
    #[must_use]
    pub fn with_outbound(mut self, server: SocketAddr) -> Self {
        self.outbound = Some(server);
        self
    }

    /// Passes the configuration as the module `services.yaml`, without the variable.
    #[must_use]
    pub fn with_module(mut self) -> Self {
        self.uses_module = true;
        self
    }

    /// Adds a cache that keeps nothing, as one that is always evicted. Without it, workerd fails
    /// each use of `caches`.
    #[must_use]
    pub fn with_cache(mut self) -> Self {
        self.has_cache = true;
        self
    }

    /// Uses the build in another checkout.
    #[must_use]
    pub fn of_checkout(mut self, root: &Path) -> Self {
        self.directory = root.join(BUILD);
        self
    }

    /// Returns the version of its workerd.
    pub fn version(&self) -> Result<String, String> {
        let output = Command::new(&self.program).arg("--version").output();
        let output = output.map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Adds a secret.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it with a configuration on a loopback port (0: any). Returns when it listens.
    pub async fn start(&self, yaml: &str, port: u16, log: &Log) -> Result<(SocketAddr, Process), String> {
        let files = self.files(yaml, port).map_err(unwritable)?;
        self.run(files, log).await
    }

    /// Starts another script in place of the Worker, on any loopback port.
    pub async fn start_script(&self, script: &str, log: &Log) -> Result<(SocketAddr, Process), String> {
        let files = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().map_err(unwritable)?;
        fs::write(files.path().join(SCRIPT), script).map_err(unwritable)?;
        fs::write(files.path().join("config.capnp"), self.script_config()).map_err(unwritable)?;
        self.run(files, log).await
    }

    async fn run(&self, files: TempDir, log: &Log) -> Result<(SocketAddr, Process), String> {
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
        let path = |name: &str| files.path().join(name);
        fs::create_dir_all(path(BUILD))?;
        fs::create_dir_all(path("crates/worker/js"))?;
        for file in [SCRIPT, WASM] {
            fs::copy(self.directory.join(file), path(BUILD).join(file))?;
        }
        for file in SOURCES {
            fs::copy(root().join(file), path(file))?;
        }
        if self.uses_module {
            fs::write(path(MODULE), yaml)?;
        } else {
            fs::copy(root().join(MODULE), path(MODULE))?;
            fs::write(path(VARIABLE), yaml)?;
        }
        if let Some(limit) = self.max_subrequests {
            fs::write(path(LIMIT), limiting_module(limit))?;
        }
        if self.has_cache {
            fs::write(path("cache.js"), CACHE_SCRIPT)?;
        }
        fs::write(path("config.capnp"), self.config(port))?;
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

fn unwritable(error: std::io::Error) -> String {
    format!("cannot write the configuration of workerd: {error}")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_use_the_compatibility_date_of_the_deployment() {
        for (file, key) in
            [("wrangler.toml", "compatibility_date = \""), ("tests/node/miniflare.mjs", "compatibilityDate: '")]
        {
            let text = fs::read_to_string(root().join(file)).unwrap();
            assert!(text.contains(&format!("{key}{COMPATIBILITY_DATE}")), "{file}");
        }
    }
}
