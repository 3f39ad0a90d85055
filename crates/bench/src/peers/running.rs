//! A running proxy.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::Result;
use crate::peers::rust::SERVICES;

/// A proxy. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    ports: [u16; 2],
    directory: TempDir,
}

impl Running {
    /// Starts a proxy with its output in files. Returns when it accepts connections.
    pub(super) async fn start(
        name: &str,
        mut command: Command,
        directory: TempDir,
        ports: [u16; 2],
        has_tls: bool,
    ) -> Result<Self> {
        let create = |file: &str| File::create(directory.path().join(file)).map_err(|error| error.to_string());
        let errors = directory.path().join("stderr");
        command.stdin(Stdio::null()).stdout(create("stdout")?).stderr(create("stderr")?);
        let child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let mut running = Self { child, ports, directory };
        for port in &ports[..=usize::from(has_tls)] {
            let mut tries = 0;
            while TcpStream::connect(("127.0.0.1", *port)).await.is_err() {
                tries += 1;
                let has_ended = running.child.try_wait().is_ok_and(|status| status.is_some());
                if has_ended || tries > 500 {
                    let errors = fs::read_to_string(errors).unwrap_or_default();
                    return Err(format!("{name} does not listen:\n{errors}"));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(running)
    }

    /// Returns the address for HTTP.
    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Returns the port for HTTPS.
    pub(crate) fn tls_port(&self) -> u16 {
        self.ports[1]
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Replaces the configuration of the balancer atomically, as editors do.
    pub(crate) fn replace_configuration(&self, yaml: &str) -> Result<()> {
        let (file, new) = (self.directory.path().join(SERVICES), self.directory.path().join("new"));
        let replaced = fs::write(&new, yaml).and_then(|()| fs::rename(&new, &file));
        replaced.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Returns the number of lines on stdout that contain a string.
    pub(crate) fn count_in_log(&self, text: &str) -> usize {
        let log = fs::read(self.directory.path().join("stdout")).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
    }

    /// Empties the files with its output, so that a long run does not fill the disk.
    pub(crate) fn empty_logs(&self) {
        for name in ["stdout", "access.log"] {
            if let Ok(file) = File::options().write(true).open(self.directory.path().join(name)) {
                let _ = file.set_len(0);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A master process ends its workers only if it is not killed.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        for _ in 0..50 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
