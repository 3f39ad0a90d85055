//! Everything that a procedure needs: an edge, machines with the application, and a terminal.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tunnel_balancer_tests::FaultyServer;
use tunnel_balancer_tests::proxy::Proxy;
use tunnel_balancer_tests::workerd::BuiltWorker;

use crate::SERVICE;
use crate::account::Tunnel;
use crate::cloudflare::Cloudflare;
use crate::edge::Edge;
use crate::machines::{Machines, Serve};
use crate::page::{Block, matches};
use crate::shell::Shell;

/// The programs that stand-ins take the place of.
const STAND_INS: [&str; 5] = ["npx", "cloudflared", "curl", "ssh", "scp"];

/// The place where a procedure is carried out.
pub(crate) struct Lab {
    pub(crate) edge: Edge,
    pub(crate) cloudflare: Cloudflare,
    pub(crate) machines: Arc<Mutex<Machines>>,
    pub(crate) ports: Ports,
    shell: Shell,
    directory: TempDir,
    applications: [FaultyServer; 2],
}

/// The addresses of this machine in place of those of a page.
pub(crate) struct Ports {
    /// That of the old proxy: port 80.
    pub(crate) old_proxy: SocketAddr,
    /// That of `serve`: port 8080.
    pub(crate) serve: SocketAddr,
    /// Bound, but not listening: no connection of this machine gets these ports.
    _held: [TcpSocket; 3],
}

impl Lab {
    /// Prepares a lab with the application on the machines `home` and `office`, at [`SERVICE`] of
    /// their tunnels.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["bin", "folder"] {
            fs::create_dir(path(name)).expect("a directory of our own");
        }
        for file in ["wrangler.toml", "worker.js", "services.yaml"] {
            fs::copy(repository().join(file), path("folder").join(file)).expect("a file of the repository");
        }
        let edge = Edge::start(&path("certificate.pem")).await;
        let applications = [FaultyServer::start("home").await, FaultyServer::start("office").await];
        for application in &applications {
            let key = (application.name().to_owned(), SERVICE.to_owned());
            edge.account().applications.insert(key, application.addr());
        }
        let worker = BuiltWorker::find().unwrap_or_else(|error| panic!("{error}"));
        let proxy = Proxy::find().unwrap_or_else(|error| panic!("{error}"));
        let cloudflare = Cloudflare::new(edge.clone(), worker);

        let held = [held_port(), held_port(), held_port()];
        let [old_proxy, serve, admin] = held.each_ref().map(|port| port.local_addr().expect("a bound socket"));
        let ports = Ports { old_proxy, serve, _held: held };
        let names = [
            ("127.0.0.1:443", edge.addresses().https.port()),
            ("127.0.0.1:8080", serve.port()),
            ("127.0.0.1:8081", admin.port()),
            ("192.168.1.10:3000", applications[0].addr().port()),
            ("192.168.1.11:3000", applications[1].addr().port()),
        ];
        let names: String = names.iter().map(|(address, port)| format!("{address}={port} ")).collect();
        let variables = [("LD_PRELOAD", compiled_names(&path("names.so"))), ("NAMES_ADDRESSES", names)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let serve = Serve { program: proxy.program().to_owned(), listens: serve, variables: variables.clone() };
        let machines = Arc::new(Mutex::new(Machines::new(path("machines"), edge.clone(), serve)));
        let calls = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = calls.local_addr().expect("a bound listener");
        tokio::spawn(take_calls(calls, cloudflare.clone(), Arc::clone(&machines)));

        symlink(proxy.program(), path("bin").join("tunnel-balancer")).expect("a directory of our own");
        for program in STAND_INS {
            symlink(env!("CARGO_BIN_EXE_stand_in"), path("bin").join(program)).expect("a directory of our own");
        }
        let own = [
            ("PATH", format!("{}:{}", path("bin").display(), env::var("PATH").unwrap_or_default())),
            ("STAND_IN_ADDRESS", address.to_string()),
            ("SSL_CERT_FILE", path("certificate.pem").display().to_string()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let shell = Shell::start(&path("folder"), &[variables, own.to_vec()].concat());
        Self { edge, cloudflare, machines, ports, shell, directory, applications }
    }

    /// Returns the application of each machine.
    pub(crate) fn applications(&self) -> [&FaultyServer; 2] {
        self.applications.each_ref()
    }

    /// Returns a new directory below that of the lab.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).expect("a directory of our own");
        path
    }

    /// Adds a tunnel that exists before the first step.
    pub(crate) fn add_tunnel(&self, name: &str, id: &str, hosts: &[&str]) {
        let mut account = self.edge.account();
        account.tunnels.insert(name.to_owned(), Tunnel { id: id.to_owned(), ..Tunnel::default() });
        account.records.extend(hosts.iter().map(|host| ((*host).to_owned(), name.to_owned())));
    }

    /// Carries out a block to the letter, or writes the file that it shows.
    pub(crate) async fn perform(&self, block: &Block) {
        match block.language.as_str() {
            "console" => {
                for (command, shown) in block.commands() {
                    let (output, status) = self.shell.run(command).await;
                    println!("$ {command}\n{output}");
                    let printed: Vec<&str> = output.lines().collect();
                    let is_shown = matches(&shown, &printed) && status == 0;
                    assert!(
                        is_shown,
                        "{}: `{command}` ends with {status} and prints\n{output}\nbut the page shows\n{}\nlog:\n{}",
                        block.place,
                        shown.join("\n"),
                        self.cloudflare.log.tail(20)
                    );
                }
            }
            "dashboard" => {
                for line in block.text.lines() {
                    println!("dashboard: {line}");
                    self.cloudflare.click(line).unwrap_or_else(|error| panic!("{}: {error}", block.place));
                }
            }
            "diff" => {
                let path = |name: &str| self.directory.path().join("folder").join(name);
                let (name, text) = block.apply(|name| fs::read_to_string(path(name)).expect("the file of the diff"));
                fs::write(path(&name), text).expect("a directory of our own");
            }
            _ => {
                let Some(file) = block.file() else { return };
                match file.split_once(':') {
                    Some((machine, path)) => self.machines.lock().await.write(machine, path, &block.text),
                    None => {
                        let path = self.directory.path().join("folder").join(file);
                        fs::write(path, &block.text).expect("a directory of our own");
                    }
                }
            }
        }
    }
}

/// Carries out the calls of stand-ins, one after the other.
async fn take_calls(listener: TcpListener, cloudflare: Cloudflare, machines: Arc<Mutex<Machines>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (cloudflare, machines) = (cloudflare.clone(), Arc::clone(&machines));
        tokio::spawn(async move { take_call(stream, &cloudflare, &machines).await });
    }
}

async fn take_call(stream: TcpStream, cloudflare: &Cloudflare, machines: &Mutex<Machines>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("the call of a stand-in");
    let call: Value = serde_json::from_str(&line).expect("JSON of a stand-in");
    let text = |key: &str| call[key].as_str().unwrap_or_default();
    let arguments = call["arguments"].as_array().into_iter().flatten();
    let arguments: Vec<&str> = arguments.filter_map(Value::as_str).collect();
    let directory = Path::new(text("directory"));
    let result = match text("program") {
        "npx" => cloudflare.npx(&arguments, directory, text("input")).await,
        "cloudflared" => cloudflare.cloudflared(&arguments, directory),
        "curl" => cloudflare.curl(&arguments, directory),
        "ssh" => machines.lock().await.ssh(&arguments).await,
        "scp" => machines.lock().await.scp(&arguments, directory),
        other => Err(format!("unknown program {other}")),
    };
    let response = match result {
        Ok(output) => json!({ "output": output, "status": 0 }),
        Err(error) => json!({ "output": format!("{error}\n"), "status": 1 }),
    };
    let _ = stream.write_all(format!("{response}\n").as_bytes()).await;
}

/// Reserves a port for a program that sets `SO_REUSEADDR`, as servers do.
fn held_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of all sockets");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    socket
}

/// Compiles the library that takes the place of DNS. Returns its path.
fn compiled_names(library: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/names.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).arg("-ldl").output();
    let compiled = compiled.expect("the C compiler that Rust uses");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library.display().to_string()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
