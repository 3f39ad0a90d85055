//! A folder of a deployment with npm. Its packages are links: to those of `cargo xtask npm
//! --folders`, and to wrangler in the repository.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Client, TIMEOUT};

/// A folder that `npm create tunnel-balancer` has created.
pub(crate) struct Folder(TempDir);

/// A running `wrangler dev`. Killed on drop, with its children.
pub(crate) struct Dev {
    process: Running,
    addr: SocketAddr,
}

/// A process in a group of its own, whose output is a log. Killed on drop, with its children.
pub(crate) struct Running {
    child: Child,
    log: Log,
}

impl Folder {
    /// Creates a folder with this map.
    pub(crate) fn create(yaml: impl Into<Yaml>) -> Self {
        let folder = Self(tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().expect("a directory"));
        let modules = folder.path().join("node_modules");
        fs::create_dir_all(modules.join(".bin")).expect("a new directory");
        let wrangler = root().join("node_modules/wrangler");
        for (name, package) in [("tunnel-balancer", package("tunnel-balancer")), ("wrangler", wrangler)] {
            symlink(package, modules.join(name)).expect("a link");
            symlink(format!("../{name}/bin/{name}.js"), modules.join(".bin").join(name)).expect("a link");
        }
        let script = package("create-tunnel-balancer").join("bin/create-tunnel-balancer.js");
        let options = [".", "--host", "app.test", "--server", "a.example.com", "--yes"];
        succeeded(&folder.command("node").arg(script).args(options).output().expect("node is installed"));
        folder.write(yaml);
        folder
    }

    /// Replaces services.yaml.
    pub(crate) fn write(&self, yaml: impl Into<Yaml>) {
        fs::write(self.path().join("services.yaml"), yaml.into().0).expect("a writable file");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns a command in the folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        command.env("WRANGLER_SEND_METRICS", "false").env("CI", "1").env("XDG_CONFIG_HOME", self.path());
        // Without this, it requests data about this machine's address.
        command.env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
        command
    }

    /// Starts `wrangler dev`. Returns when it listens.
    pub(crate) async fn dev(&self) -> Dev {
        let mut npx = self.command("npx");
        npx.args(["wrangler", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"]);
        let process = Running::start(&mut npx);
        let address = |log: &str| {
            let (_, rest) = log.split_once("Ready on http://")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let log = process.log.until("wrangler to listen", |log| address(log).is_some()).await;
        Dev { process, addr: address(&log).expect("just found") }
    }
}

impl Dev {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr)
    }

    pub(crate) fn log(&self) -> &Log {
        &self.process.log
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Log::default();
        copy(child.stdout.take().expect("piped"), log.clone());
        copy(child.stderr.take().expect("piped"), log.clone());
        Self { child, log }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        let start = std::time::Instant::now();
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => return status,
                None if start.elapsed() > TIMEOUT => panic!("it does not end:\n{}", self.log.text()),
                None => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Returns the folder of a package, as `cargo xtask npm --folders` makes it.
pub(crate) fn package(name: &str) -> PathBuf {
    let package = root().join("target/npm-packages/node_modules").join(name);
    assert!(package.is_dir(), "no {}: run `cargo xtask npm --folders` first", package.display());
    package
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_owned()
}

/// Returns both outputs of a command that succeeded.
pub(crate) fn succeeded(output: &Output) -> String {
    let text = text(output);
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// Returns both outputs of a command.
pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Copies lines into the log.
fn copy(output: impl Read + Send + 'static, log: Log) {
    std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).for_each(|line| log.line(&line)));
}
