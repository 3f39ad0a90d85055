//! The quick starts of `README.md` and of `docs/quick-start`: each is run to the letter, from its
//! first command to the last, and prints what it shows. Only ports are replaced.
//!
//! The packages of npm are folders with the last builds of the Worker and of the command line:
//!
//! ```text
//! cargo xtask npm --folders
//! cargo test -p tunnel-balancer-tests --test quick_start
//! ```

mod machine;
mod page;

use machine::Machine;
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::workerd::BuiltWorker;

#[test]
fn own_machine() {
    let machine = Machine::new("own-machine", &["3001", "3002", "8080", "8081"]);
    machine.follow("docs/quick-start/own-machine.md");
}

#[test]
fn embedder() {
    let machine = Machine::new("embedder", &["3001", "3002"]);
    machine.link_repository();
    machine.follow("docs/quick-start/embedder.md");
}

/// Without a runtime for containers: the command of the container is a process, and a route leads
/// from the public hostname to its port.
#[test]
fn container() {
    let machine = Machine::new("container", &["192.168.1.10:3000", "192.168.1.11:3000", "8080", "8081"]);
    machine.clone_file("compose.yaml");
    machine.install("docker", include_str!("stand_ins/docker.sh"));
    machine.install("curl", include_str!("stand_ins/curl.sh"));
    machine.install("ssh", include_str!("stand_ins/ssh.sh"));
    let applications = "
        export BALANCER=http://127.0.0.1:8080 ADMIN=http://127.0.0.1:8081
        start 192.168.1.10 192.168.1.10:3000
        start 192.168.1.11 192.168.1.11:3000
    ";
    machine.follow_after(&format!("{START}{applications}"), "docs/quick-start/container.md");
}

/// Without an account: the real wrangler runs the Worker, and does not upload it. A second Worker
/// on workerd takes the requests for the public hostname.
#[test]
fn cloudflare() {
    let machine = Machine::new("cloudflare", &["3001", "3002", "8787", "192.168.1.10:80", "192.168.1.11:80"]);
    machine.install("npm", include_str!("stand_ins/npm.sh"));
    machine.install("npx", include_str!("stand_ins/npx.sh"));
    machine.install("wrangler", include_str!("stand_ins/wrangler.sh"));
    machine.install("curl", include_str!("stand_ins/curl.sh"));
    machine.install("ssh", include_str!("stand_ins/ssh.sh"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let worker = BuiltWorker::find().unwrap_or_else(|error| panic!("{error}"));
    let map = "services: { chat.example.com: { servers: [
        { url: \"http://192.168.1.10:80\", name: chat-a },
        { url: \"http://192.168.1.11:80\", name: chat-b }] } }";
    let started = runtime.block_on(worker.start(&machine.replace(map), 0, &Log::default()));
    let (addr, _process) = started.unwrap_or_else(|error| panic!("{error}"));
    let tunnels = format!(
        "
        export BALANCER=http://{addr}
        start machine-a 192.168.1.10:80
        start machine-b 192.168.1.11:80
        "
    );
    machine.follow_after(&format!("{START}{tunnels}"), "docs/quick-start/cloudflare.md");
}

/// Without an account and a registry: the packages are those of `cargo xtask npm --folders`, and
/// wrangler is the real one. A reader stops `wrangler dev` by Ctrl-C, after an edit of the map is
/// live. The commands of a clone use what is built for the tests.
#[test]
fn readme() {
    let machine = Machine::new("readme", &["192.168.1.10:80", "8787"]);
    machine.install("npm", include_str!("stand_ins/npm.sh"));
    machine.install("npx", include_str!("stand_ins/npx.sh"));
    machine.install("wrangler", include_str!("stand_ins/wrangler.sh"));
    machine.install("cargo", include_str!("stand_ins/cargo.sh"));
    let server = "
        export SERVER=192.168.1.10:80 DEMO=8787
        start edited 192.168.1.10:80
        ";
    machine.follow_after(&format!("{START}{server}"), "README.md#Quick start");
}

/// A function of the shell that starts an application of another machine.
const START: &str = r#"
start() {
  mkdir "$MACHINES/$1.d"
  python3 -m http.server "${2#*:}" --bind 127.0.0.1 --directory "$MACHINES/$1.d" > "$MACHINES/$1.log" 2>&1 &
  echo $! > "$MACHINES/$1"
  until curl -s -o /dev/null "http://$2/"; do sleep 0.1; done
}
"#;
