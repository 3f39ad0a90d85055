//! Balancers and other servers that commands talk to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tunnel-balancer");

/// The token of a proxy.
pub(crate) const TOKEN: &str = "the token of the operator";

/// A running proxy. Killed on drop.
pub(crate) struct Proxy {
    process: Child,
    /// The listener of clients.
    pub(crate) public: String,
    /// The listener of operators.
    pub(crate) url: String,
    directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts it with a service of two servers, which do not exist and are not probed.
    pub(crate) fn start() -> Self {
        Self::with("services:\n  chat.example.com: [a.invalid, b.invalid]\ndefaults: { health_check: false }\n")
    }

    /// Starts it with a map.
    pub(crate) fn with(map: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("services.yaml"), map).unwrap();
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .env("BALANCER_CONTROL_TOKEN", TOKEN)
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines = log.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let listening: Vec<Value> = lines.filter(|line| line["event"] == "listening").take(2).collect();
        let address = |is_admin| {
            let line = listening.iter().find(|line| (line["source"] == "--admin") == is_admin).unwrap();
            format!("http://{}", line["address"].as_str().unwrap())
        };
        Self { process, public: address(false), url: address(true), directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server with one response for all requests. Returns its URL.
pub(crate) fn server(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.extend(byte);
            }
            let _ = stream.write_all(response.as_bytes());
        }
    });
    url
}
