//! Releases and comments of one repository, over HTTP on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const VERSION: &str = "9.8.7";
const ARCHIVE: &str = "tunnel-balancer-9.8.7-x86_64-unknown-linux-musl.tar.gz";
const COMMENTS: &str = "/api/repos/owner/repo/issues/7/comments";

/// The server.
pub(crate) struct GitHub {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    assets: BTreeMap<String, Vec<u8>>,
    comments: Vec<Value>,
    refuses_comments: bool,
    /// The requests for releases that get 503.
    failures: u32,
}

impl GitHub {
    /// Starts it with the release of a program that runs the built one.
    pub(crate) fn start() -> Self {
        let archive = archive();
        let sum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        let sums = format!("{sum}  {ARCHIVE}\n{}  other.tar.gz\n", "0".repeat(64));
        let assets = [(ARCHIVE.to_owned(), archive), ("SHA256SUMS".to_owned(), sums.into_bytes())].into();
        let state = Arc::new(Mutex::new(State { assets, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { url, state }
    }

    /// Returns the bodies of the comments.
    pub(crate) fn comments(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.comments.iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn add_comment(&self, login: &str, body: &str) {
        self.state.lock().unwrap().add(login, body);
    }

    /// Refuses comments, as with the token of a pull request from a fork.
    pub(crate) fn refuse_comments(&self) {
        self.state.lock().unwrap().refuses_comments = true;
    }

    /// Responds with 503 to the next requests for releases.
    pub(crate) fn fail(&self, requests: u32) {
        self.state.lock().unwrap().failures = requests;
    }

    pub(crate) fn corrupt_archive(&self) {
        self.state.lock().unwrap().assets.get_mut(ARCHIVE).unwrap().push(0);
    }
}

impl State {
    fn add(&mut self, login: &str, body: &str) -> Value {
        let comment = json!({ "id": self.comments.len(), "user": { "login": login }, "body": body });
        self.comments.push(comment.clone());
        comment
    }

    /// Returns the status, the `Location` and the body of a response.
    fn respond(&mut self, method: &str, path: &str, body: &str) -> (u16, String, Vec<u8>) {
        let json = |status, value: Value| (status, String::new(), value.to_string().into_bytes());
        let text = || serde_json::from_str::<Value>(body).unwrap()["body"].as_str().unwrap().to_owned();
        let own = format!("/owner/repo/releases/download/v{VERSION}/");
        if self.failures > 0 && path.starts_with("/owner/repo/releases/") {
            self.failures -= 1;
            return (503, String::new(), Vec::new());
        }
        if path == "/owner/repo/releases/latest" {
            return (302, format!("/owner/repo/releases/tag/v{VERSION}"), Vec::new());
        }
        if let Some(asset) = path.strip_prefix(&own).and_then(|name| self.assets.get(name)) {
            return (200, String::new(), asset.clone());
        }
        match (method, path) {
            ("GET", _) if path == format!("{COMMENTS}?per_page=100&page=1") => json(200, self.comments.clone().into()),
            ("POST" | "PATCH", _) if self.refuses_comments => json(403, json!({})),
            ("POST", COMMENTS) => json(201, self.add("github-actions[bot]", &text())),
            ("PATCH", _) => {
                let id: usize = path.strip_prefix("/api/repos/owner/repo/issues/comments/").unwrap().parse().unwrap();
                self.comments[id]["body"] = text().into();
                json(200, self.comments[id].clone())
            }
            _ => json(404, json!({})),
        }
    }
}

/// Responds to one request.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_authorized = !path.starts_with("/api/") || head.to_ascii_lowercase().contains("authorization: bearer job");
    let (status, location, body) = if is_authorized {
        state.lock().unwrap().respond(method, path, &String::from_utf8(body).unwrap())
    } else {
        (401, String::new(), Vec::new())
    };
    let location = if location.is_empty() { location } else { format!("Location: {location}\r\n") };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\n{location}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

/// Returns an archive, in which the program is in a folder.
fn archive() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("tunnel-balancer-9.8.7/tunnel-balancer");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_tunnel-balancer"))).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["-czf", ARCHIVE, "tunnel-balancer-9.8.7"];
    assert!(Command::new("tar").args(arguments).current_dir(directory.path()).status().unwrap().success());
    fs::read(directory.path().join(ARCHIVE)).unwrap()
}
