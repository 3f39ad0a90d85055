//! `tunnel-balancer monitor`: a process that probes, shares, and serves nothing.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Output};

use tempfile::TempDir;
use tunnel_balancer_core::Health;
use tunnel_balancer_state::Push;
use tunnel_balancer_tests::proxy::{Proxy, events};
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Action, Bench, Service, Target, within};

use super::worker::{Mode, Worker};
use super::{RARELY, health_of};

cases![
    not on Worker: "a Worker is the other side";
    a_monitor_shares_what_it_sees_until_it_is_stopped,
    a_run_at_a_time_shares_confirmed_results,
    a_run_at_a_time_fails_if_nothing_is_shared,
];

/// A running monitor. Killed on drop.
pub(super) struct Monitor {
    child: Option<Child>,
    _directory: TempDir,
}

impl Monitor {
    /// Starts one with a configuration and these arguments.
    pub(super) fn start(bench: &Bench, yaml: impl Into<Yaml>, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::start_with(bench, yaml, arguments, &[])
    }

    /// Starts one with other variables of the environment.
    pub(super) fn start_with(
        bench: &Bench,
        yaml: impl Into<Yaml>,
        arguments: &[impl AsRef<OsStr>],
        variables: &[(&str, &str)],
    ) -> Self {
        let Target::Native(proxy) = bench.target() else { panic!("this case is only for the native proxy") };
        let directory = tempfile::tempdir().expect("a writable temporary directory");
        let file = directory.path().join("services.yaml");
        fs::write(&file, yaml.into().0).expect("a writable temporary directory");
        let mut command = Proxy::monitor(proxy, &file);
        let child = command.args(arguments).envs(variables.iter().copied()).spawn().expect("a program");
        Self { child: Some(child), _directory: directory }
    }

    pub(super) fn terminate(&self) {
        let child = self.child.as_ref().expect("it runs");
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a child process");
    }

    pub(super) async fn output(mut self) -> Output {
        let child = self.child.take().expect("it runs");
        let output = tokio::task::spawn_blocking(move || child.wait_with_output());
        within("the monitor to end", output).await.expect("no panic").expect("a child process")
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn a_monitor_shares_what_it_sees_until_it_is_stopped(bench: Bench) {
    let [primary, secondary] = bench.servers(["primary", "secondary"]).await;
    let service = || Service::of([&primary, &secondary]);
    let worker = Worker::start(service().checked_often()).await;
    let url = worker.url();
    let proxy = bench.serve(service().health_check(RARELY), &["--monitor", &url]).await;
    proxy.logged("server_healthy", 2).await;
    let proxy_name = worker.until("a message of the proxy", |pushes| Some(pushes.last()?.sender.clone())).await;
    let monitor = Monitor::start(&bench, service().checked_often(), &["--push", &url, "--interval", "4m"]);
    let is_proxy = |push: &&Push| push.sender == proxy_name;
    worker.until("a message of the monitor", |pushes| pushes.iter().find(|push| !is_proxy(push)).map(drop)).await;

    primary.outage(Action::Reset);
    let merged = |pushes: &[Push]| {
        let mut pushes = pushes.iter().filter(is_proxy);
        pushes.any(|push| health_of(&push.state, "primary") == Health::Unhealthy).then_some(())
    };
    worker.until("the proxy to merge the failure", merged).await;
    assert_eq!(proxy.get("/").await.served_by(), "secondary");
    assert_eq!(primary.counts().requests, 0);

    monitor.terminate();
    let output = monitor.output().await;
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8(output.stdout).expect("a log");
    let names: Vec<String> = events(&log).map(|event| event["event"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(names.first().map(String::as_str), Some("config_loaded"), "{log}");
    assert_eq!(names.last().map(String::as_str), Some("stopped"), "{log}");
    assert!(["monitor_reachable", "server_unhealthy"].iter().all(|name| names.iter().any(|it| it == name)), "{log}");
}

async fn a_run_at_a_time_shares_confirmed_results(bench: Bench) {
    let [primary, secondary] = bench.servers(["primary", "secondary"]).await;
    primary.outage(Action::Reset);
    let service = || Service::of([&primary, &secondary]).checked();
    let worker = Worker::start(service()).await;
    let output = Monitor::start(&bench, service(), &["--push", &worker.url(), "--once"]).output().await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let counts = [primary.counts().probes, secondary.counts().probes];
    assert_eq!(counts, [2, 2], "`fall` and `rise`");
    let shared = |pushes: &[Push]| {
        let state = &pushes.last()?.state;
        Some((pushes.len(), ["primary", "secondary"].map(|server| health_of(state, server))))
    };
    let shared = worker.until("messages", shared).await;
    assert_eq!(shared, (2, [Health::Unhealthy, Health::Healthy]), "the first message has no facts");
}

async fn a_run_at_a_time_fails_if_nothing_is_shared(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let service = || Service::of([&primary]).checked();
    let worker = Worker::start(service()).await;
    worker.set(Mode::OtherSecret);
    let output = Monitor::start(&bench, service(), &["--push", &worker.url(), "--once"]).output().await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(primary.counts().probes, 0, "the result would be lost");
}
