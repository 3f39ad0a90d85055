//! The Autobahn test suite: its client and its server, directly and through the target, with the
//! same verdicts.
//!
//! It covers more errors than `websocket_peers`, above all of compression, but its package
//! (`autobahntestsuite`) needs Python 2.7. It is skipped unless [`WSTEST`] names its program:
//!
//! ```text
//! TUNNEL_BALANCER_WSTEST=wstest cargo test -p tunnel-balancer-tests --test conformance -- autobahn --nocapture
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::wire::Wire;
use tunnel_balancer_tests::{Bench, Service, within};

cases![verdicts_are_the_same_through_the_target];

/// The variable that names the program `wstest` of Autobahn's package.
const WSTEST: &str = "TUNNEL_BALANCER_WSTEST";

/// All cases about framing, pings, reserved bits, opcodes, fragments, UTF-8 and closes. Of the
/// hundreds of cases about sizes (9) and compression (12, 13), one of each kind.
const CASES_OF_AUTOBAHN: [&str; 22] = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.3", "9.2.3", "9.3.1", "9.7.1", "9.8.1", "10.*", "12.1.1",
    "12.1.10", "12.3.5", "13.1.1", "13.2.1", "13.3.1", "13.4.1", "13.5.1", "13.7.5",
];

async fn verdicts_are_the_same_through_the_target(bench: Bench) {
    let Some(program) = env::var_os(WSTEST) else {
        println!("skipped the Autobahn test suite: {WSTEST} is not set");
        return;
    };
    let files = tempfile::tempdir().expect("a temporary directory");
    let server = free_port().await;
    let url = format!("http://{server}");
    let _server = Program::start(Command::new(&program).args(["-m", "testeeserver", "-w"]).arg(ws(server)));
    within("Autobahn's server to listen", listening(server)).await;
    let app = bench.start(Service::at([("primary", url)])).await;
    let target = relay(app.addr()).await;

    let spec = files.path().join("client.json");
    let servers = [("direct", server), ("through", target)].map(|(name, addr)| json!({"agent": name, "url": ws(addr)}));
    let settings = json!({
        "outdir": files.path().join("reports"), "servers": servers, "cases": CASES_OF_AUTOBAHN,
        "exclude-cases": [], "exclude-agent-cases": {},
    });
    fs::write(&spec, settings.to_string()).expect("a file");
    let mut client = Program::start(Command::new(&program).args(["-m", "fuzzingclient", "-s"]).arg(&spec));
    tokio::task::spawn_blocking(move || client.0.wait()).await.expect("no panic").expect("Autobahn's client ends");

    let mut verdicts = verdicts(&files.path().join("reports/index.json"));
    let (direct, through) = (verdicts.remove("direct"), verdicts.remove("through"));
    let (direct, through) = (direct.expect("verdicts"), through.expect("verdicts"));
    assert!(direct.len() > 240, "only {} cases were run", direct.len());
    let differ = |case: &&String| direct.get(*case) != through.get(*case);
    let different: Vec<_> = direct.keys().filter(differ).map(|case| (case, &direct[case], through.get(case))).collect();
    assert!(different.is_empty(), "{} of {} cases: {different:#?}", different.len(), direct.len());
    println!("Autobahn: {} cases, the same verdicts directly and through the target", direct.len());
}

/// Returns, by agent and case, the verdicts on the session and on its close, and the close code of
/// the server.
fn verdicts(index: &Path) -> BTreeMap<String, BTreeMap<String, [Value; 3]>> {
    let index = fs::read_to_string(index).expect("Autobahn's client wrote a report");
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&index).expect("a valid report");
    let verdict = |case: Value| ["behavior", "behaviorClose", "remoteCloseCode"].map(|field| case[field].clone());
    index
        .into_iter()
        .map(|(agent, cases)| (agent, cases.into_iter().map(|(id, case)| (id, verdict(case))).collect()))
        .collect()
}

/// A child process, which is killed when it is dropped.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ws(addr: SocketAddr) -> String {
    format!("ws://{addr}/socket")
}

async fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a free port on loopback")
}

/// Connects until it succeeds: the program does not report when it is ready.
async fn listening(addr: SocketAddr) {
    while TcpStream::connect(addr).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts a relay that replaces the `Host` of Autobahn's client, which is an address, by the host
/// of the service.
async fn relay(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
    let addr = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay_connection(stream, target));
        }
    });
    addr
}

async fn relay_connection(stream: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut wire = Wire::new(stream);
    let Some(head) = wire.head().await? else { return Ok(()) };
    let mut text = format!("{}\r\nHost: {HOST}\r\n", head.first_line);
    for (name, value) in head.headers.0.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Host")) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut onward = TcpStream::connect(target).await?;
    onward.set_nodelay(true)?;
    onward.write_all((text + "\r\n").as_bytes()).await?;
    let (mut stream, ahead) = wire.into_parts();
    onward.write_all(&ahead).await?;
    copy_bidirectional(&mut stream, &mut onward).await?;
    Ok(())
}
