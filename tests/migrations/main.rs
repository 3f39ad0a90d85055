//! The pages of `docs/migrate`, carried out to the letter while clients send requests.
//!
//! Each step is done, undone and done again; then all steps are undone. No request may fail, and no
//! POST may arrive twice. The Worker runs on workerd, and the commands of this repository are run
//! as they are. Programs that talk to Cloudflare or to other machines are stand-ins, which act on a
//! local edge. `--nocapture` prints the transcript. Linux only, because of `LD_PRELOAD`.
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test migrations -- one_tunnel --nocapture
//! ```
#![cfg(target_os = "linux")]

mod account;
mod cloudflare;
mod daemons;
mod edge;
mod lab;
mod machines;
mod page;
mod shell;
mod traffic;

use std::io::Write as _;
use std::process::Command;

use account::Code;
use daemons::{Daemon, real_proxy};
use lab::Lab;
use page::Page;
use traffic::Traffic;

const HOST: &str = "chat.example.com";
/// The service of the application in rules of tunnels.
const SERVICE: &str = "http://localhost:8080";

#[tokio::test]
async fn from_one_tunnel() {
    let (lab, page) = (Lab::new().await, Page::read("one-tunnel.md"));
    lab.add_tunnel("home", "2c6f4a55-0b1f-4d43-9f0a-5d0c1c9b7a11", &[HOST]);
    for block in &page.before {
        lab.perform(block).await;
    }
    lab.machines.lock().await.install("home").expect("a valid file of the tunnel");
    carry_out(&lab, &page).await;
}

#[tokio::test]
async fn from_tunnels_of_the_dashboard() {
    let (lab, page) = (Lab::new().await, Page::read("dashboard-tunnels.md"));
    for (machine, id, host) in [
        ("home", "2c6f4a55-0b1f-4d43-9f0a-5d0c1c9b7a11", HOST),
        ("office", "9d1e8c02-7b5a-4c39-8d7e-3f5f0e6a2b44", "chat-b.example.com"),
    ] {
        lab.add_tunnel(machine, id, &[host]);
        let rules = vec![(Some(host.to_owned()), SERVICE.to_owned()), (None, "http_status:404".to_owned())];
        lab.edge.account().tunnels.get_mut(machine).expect("this tunnel").dashboard = Some(rules);
        let mut machines = lab.machines.lock().await;
        machines.write(machine, "/etc/cloudflared/token", id);
        machines.install(machine).expect("a valid token");
    }
    for block in &page.before {
        lab.perform(block).await;
    }
    carry_out(&lab, &page).await;
}

#[tokio::test]
async fn from_a_script() {
    let (lab, page) = (Lab::new().await, Page::read("script.md"));
    for (machine, host) in [("home", "chat-a.example.com"), ("office", "chat-b.example.com")] {
        let rule = format!("{{ hostname: {host}, service: \"{SERVICE}\" }}");
        let config = format!("tunnel: {machine}\ningress: [{rule}, {{ service: http_status:404 }}]\n");
        lab.add_tunnel(machine, "", &[host]);
        let mut machines = lab.machines.lock().await;
        machines.write(machine, "/etc/cloudflared/config.yml", &config);
        machines.install(machine).expect("a valid file of the tunnel");
    }
    for block in &page.before {
        lab.perform(block).await;
    }
    let script = page.before.iter().find(|block| block.language == "js").expect("a script");
    lab.cloudflare.deploy("my-failover", Code::Script(script.text.clone())).await.expect("a Worker that starts");
    lab.edge.account().routes.insert(format!("{HOST}/*"), "my-failover".to_owned());
    carry_out(&lab, &page).await;
}

#[tokio::test]
async fn from_a_small_proxy() {
    from_proxy(None).await;
}

#[tokio::test]
async fn from_caddy() {
    from_proxy(Some(("caddy", "caddyfile"))).await;
}

#[tokio::test]
async fn from_nginx() {
    from_proxy(Some(("nginx", "nginx"))).await;
}

#[tokio::test]
async fn from_haproxy() {
    from_proxy(Some(("haproxy", "haproxy"))).await;
}

/// Migrates from a real proxy, or from a small one in its place.
async fn from_proxy(real: Option<(&str, &str)>) {
    if let Some((program, _)) = real.filter(|(program, _)| !is_installed(program)) {
        // The test harness hides the output of tests that pass, but not that of `writeln`.
        let _ = writeln!(std::io::stderr(), "NOT CHECKED: the migration from {program}, which is not installed");
        return;
    }
    let (lab, page) = (Lab::new().await, Page::read("reverse-proxy.md"));
    lab.add_tunnel("home", "2c6f4a55-0b1f-4d43-9f0a-5d0c1c9b7a11", &[HOST]);
    for block in &page.before {
        lab.perform(block).await;
    }
    for (service, address) in [("http://localhost:80", lab.ports.old_proxy), (SERVICE, lab.ports.serve)] {
        lab.edge.account().applications.insert(("home".to_owned(), service.to_owned()), address);
    }
    let (listens, servers) = (lab.ports.old_proxy, lab.applications().map(|application| application.addr()));
    let daemon = match real {
        None => Daemon::SmallProxy { listens, servers: servers.to_vec() },
        Some((program, language)) => {
            let block = page.before.iter().find(|block| block.language == language).expect("its configuration");
            real_proxy(program, &block.text, &lab.directory(program), listens, servers)
        }
    };
    {
        let mut machines = lab.machines.lock().await;
        machines.daemons().add("caddy", daemon);
        machines.daemons().start("caddy").await.expect("a valid configuration");
        machines.install("home").expect("a valid file of the tunnel");
    }
    carry_out(&lab, &page).await;
}

fn is_installed(program: &str) -> bool {
    let output = Command::new(program).arg(if program == "caddy" { "version" } else { "-v" }).output();
    output.is_ok_and(|output| output.status.success())
}

/// Carries out a page, there and back, under traffic.
async fn carry_out(lab: &Lab, page: &Page) {
    let mut traffic = Traffic::start(lab.edge.addresses().http, HOST);
    let before = traffic.continues().await;
    let start = lab.edge.account().summary();
    for step in &page.steps {
        println!("\n=== {}", step.title);
        let summary = lab.edge.account().summary();
        for block in &step.forward {
            lab.perform(block).await;
            traffic.continues().await;
        }
        println!("--- back");
        for block in &step.back {
            lab.perform(block).await;
            traffic.continues().await;
        }
        if !step.back.is_empty() {
            assert_eq!(lab.edge.account().summary(), summary, "after the step back of {}", step.title);
            println!("--- again");
            for block in &step.forward {
                lab.perform(block).await;
                traffic.continues().await;
            }
        }
    }
    let served_by = traffic.continues().await;
    assert!(served_by.is_some() && before != served_by, "the balancer does not serve: {served_by:?}");
    println!("\n=== All steps back");
    for block in page.steps.iter().rev().flat_map(|step| &step.back) {
        lab.perform(block).await;
        traffic.continues().await;
    }
    assert_eq!(lab.edge.account().summary(), start, "after all steps back");
    assert_eq!(traffic.continues().await, before);
    println!("{}", traffic.ends(&lab.applications()));
}
