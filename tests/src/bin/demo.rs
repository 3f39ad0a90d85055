//! A demo of failover before a deployment: three servers with faults on demand, and the Worker in
//! front of them.
//!
//! ```text
//! cargo run -p tunnel-balancer-tests --bin demo -- --port 8787
//! ```
//!
//! Needs the built Worker (`cargo xtask build`) and workerd (`npm ci`). Everything listens on
//! loopback and ends with Ctrl-C.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::server::HEALTH_PATH;
use tunnel_balancer_tests::wire::Wire;
use tunnel_balancer_tests::workerd::BuiltWorker;
use tunnel_balancer_tests::{Action, FaultyServer, Reply};

/// The token of the status page. The demo is reachable from this machine alone.
const TOKEN: &str = "token-of-the-demo";

/// The token of traces and drills.
const CONTROL_TOKEN: (&str, &str) = ("BALANCER_CONTROL_TOKEN", "control-token-of-the-demo");

const USAGE: &str = "usage: demo [--port N]    (default 8787)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let port = port(env::args().skip(1))?;
    let worker = BuiltWorker::find()?.with_secret("BALANCER_STATUS_TOKEN", TOKEN);
    let worker = worker.with_secret(CONTROL_TOKEN.0, CONTROL_TOKEN.1);
    if let Err(error) = TcpListener::bind(("127.0.0.1", port)).await {
        return Err(format!("port {port} cannot be used ({error}); choose another with --port").into());
    }
    let servers: Servers =
        Arc::new([server("primary", 9001).await?, server("replica", 9002).await?, server("spare", 9003).await?]);
    let control = TcpListener::bind(("127.0.0.1", port.saturating_add(1))).await;
    let control = match control {
        Ok(control) => control,
        Err(_) => TcpListener::bind("127.0.0.1:0").await?,
    };
    let log = Log::default();
    let (_, process) = worker.start(&yaml(port, &servers), port, &log).await?;

    println!("{}", introduction(port, control.local_addr()?.port(), &servers));
    tokio::spawn(accept(control, Arc::clone(&servers)));
    tokio::spawn(async move { log.print().await });
    tokio::select! {
        () = stop_signal()? => {}
        () = process.exited() => {
            // Ctrl-C in a terminal also ends workerd.
            let is_unexpected = tokio::time::timeout(Duration::from_millis(500), stop_signal()?).await.is_err();
            if is_unexpected {
                return Err("workerd has exited; its last output is above".into());
            }
        }
    }
    drop(process);
    println!("\ndemo: stopped");
    Ok(())
}

type Servers = Arc<[FaultyServer; 3]>;

async fn server(name: &str, port: u16) -> io::Result<FaultyServer> {
    match FaultyServer::on_port(name, port).await {
        Ok(server) => Ok(server),
        Err(_) => FaultyServer::on_port(name, 0).await,
    }
}

fn yaml(port: u16, servers: &Servers) -> String {
    let [primary, replica, spare] = servers.each_ref().map(|server| {
        let (name, url) = (server.name(), server.url());
        format!("{{ url: \"{url}\", name: {name} }}")
    });
    format!(
        r#"status: {{ token: "${{BALANCER_STATUS_TOKEN}}", public: true }}
services:
  "demo.localhost:{port}":
    title: Demo
    servers:
      - {primary}
      - {replica}
    health_check: {{ path: {HEALTH_PATH}, interval: 5s, unhealthy_interval: 1s, timeout: 1s }}
  "media.localhost:{port}":
    title: Media
    servers:
      - {spare}
    health_check: false
"#
    )
}

fn introduction(port: u16, control: u16, servers: &Servers) -> String {
    let (demo, media) = (format!("http://demo.localhost:{port}"), format!("http://media.localhost:{port}"));
    let local = format!("http://127.0.0.1:{port}");
    let command = |command: &str| format!("curl -X POST http://127.0.0.1:{control}/{command}");
    let list: String = servers.iter().map(|server| format!("  {:<8} {}\n", server.name(), server.url())).collect();
    let watch = "curl -s -o /dev/null -w '%{http_code} %header{x-served-by}\\n'";
    let sections = [
        (
            "Try this in another terminal:",
            vec![
                (format!("curl -i '{demo}/hello?x=1'"), "see X-Served-By: primary"),
                (format!("curl -i {media}/"), "another public host, another server"),
            ],
        ),
        (
            "Watch a failover: keep this running, break primary from a third terminal, and see only 200:",
            vec![
                (format!("while sleep 0.2; do {watch} {demo}/; done"), ""),
                (command("primary/stop"), "the server is stopped: connections are refused"),
                (command("primary/start"), "it listens again"),
                (command("primary/530"), "the tunnel is down"),
                (command("primary/502"), "the tunnel is up, the application is not"),
                (command("primary/hang"), "accepts requests and never responds"),
                (command("primary/ok"), "no fault"),
            ],
        ),
        (
            "A POST that may have run is not retried (first ok, until primary serves again):",
            vec![
                (command("primary/502"), ""),
                (format!("curl -i -d 'one order' {demo}/orders"), "the 502 of primary, until it is ejected"),
                (command("primary/530"), ""),
                (format!("curl -i -d 'one order' {demo}/orders"), "never delivered: replica gets it"),
            ],
        ),
        (
            "Why a request goes where, and whether failover works (one service has one server, and fails):",
            vec![
                (format!("export {}={}", CONTROL_TOKEN.0, CONTROL_TOKEN.1), ""),
                (format!("tunnel-balancer trace {local} --header 'Host: demo.localhost:{port}'"), ""),
                (format!("tunnel-balancer drill --run {local} --to {local}"), ""),
            ],
        ),
        (
            "No server available:",
            vec![
                (command("primary/stop"), ""),
                (command("replica/stop"), ""),
                (format!("curl -i {demo}/"), "a local 503 with Retry-After"),
            ],
        ),
    ];
    let page = format!("{demo}/__balancer");
    let mut text = format!(
        "Tunnel Balancer on workerd\n\n  {demo}/   primary, then replica\n  {media}/  spare\n\n{list}\n\
         Status page:\n  {page}#token={TOKEN}\n  {page}   as strangers see it\n"
    );
    for (title, lines) in sections {
        text.push_str(&format!("\n{title}\n"));
        for (command, comment) in lines {
            let line = if comment.is_empty() { command } else { format!("{command:<56} # {comment}") };
            text.push_str(&format!("  {line}\n"));
        }
    }
    text + "\nCtrl-C ends the demo. Log of the Worker:\n"
}

/// The control server: `POST /primary/502`, one request for each connection.
async fn accept(control: TcpListener, servers: Servers) {
    while let Ok((stream, _)) = control.accept().await {
        tokio::spawn(execute(stream, Arc::clone(&servers)));
    }
}

async fn execute(stream: TcpStream, servers: Servers) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    let Some(head) = wire.head().await? else { return Ok(()) };
    let mut words = head.first_line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut path = target.trim_matches('/').splitn(2, '/');
    let (name, command) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
    let (status, text) = match servers.iter().find(|server| server.name() == name) {
        _ if method != "POST" => ("405 Method Not Allowed", "commands need POST".to_owned()),
        None => ("404 Not Found", "unknown server: expected primary, replica or spare".to_owned()),
        Some(server) => match change(server, command).await {
            true => ("200 OK", format!("{name}: {command}")),
            false => ("404 Not Found", "unknown command: expected stop, start, hang, slow, ok or a status".to_owned()),
        },
    };
    let length = text.len() + 1;
    wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n")).await
}

async fn change(server: &FaultyServer, command: &str) -> bool {
    match command {
        "stop" => server.stop().await,
        "start" => return server.restart().is_ok(),
        "hang" => server.outage(Action::Hang),
        "slow" => server.respond(Action::Delayed(Duration::from_secs(5), Action::Echo.into())),
        "ok" => {
            server.recover();
            return server.restart().is_ok();
        }
        status => match status.parse() {
            Ok(status @ 200..=599) => server.outage(Reply::status(status)),
            _ => return false,
        },
    }
    true
}

/// Resolves on Ctrl-C, on SIGTERM, and when the terminal is closed.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let [mut interrupt, mut terminate, mut hang_up] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn port(mut arguments: impl Iterator<Item = String>) -> Result<u16, String> {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, _, _) => Ok(8787),
        (Some("--port"), Some(port), None) => match port.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("invalid port: {port}\n{USAGE}")),
        },
        _ => Err(USAGE.to_owned()),
    }
}
