//! Two machines share health through a Worker, which is a small server here.

pub(crate) mod kv;
pub(crate) mod monitor;
mod worker;

use serde_json::Value;
use tunnel_balancer_core::Health;
use tunnel_balancer_state::{Push, SharedState};
use tunnel_balancer_tests::proxy::Process;
use tunnel_balancer_tests::{Action, Bench, Service};

use self::worker::{Mode, Worker};

cases![
    not on Worker: "a Worker is the other side";
    a_failure_that_one_machine_sees_is_avoided_by_the_other,
    requests_are_unaffected_by_an_unreachable_worker,
    requests_are_unaffected_by_a_hung_worker,
    a_redirect_is_not_followed,
    a_worker_with_another_secret_refuses_messages,
    a_response_that_is_too_large_is_not_read,
    a_reload_keeps_sharing,
    failures_observed_without_contact_are_not_shared,
];

/// Probed too rarely to notice a failure within a case.
const RARELY: &str = "{ path: /__health, interval: 10m, unhealthy_interval: 10m, timeout: 1s }";

async fn a_failure_that_one_machine_sees_is_avoided_by_the_other(bench: Bench) {
    let [primary, secondary] = bench.servers(["primary", "secondary"]).await;
    let service = || Service::of([&primary, &secondary]);
    let worker = Worker::start(service().checked_often()).await;
    let url = worker.url();
    let second = bench.serve(service().health_check(RARELY), &["--monitor", &url]).await;
    second.logged("server_healthy", 2).await;
    let second_name =
        worker.until("a message of the second machine", |pushes| Some(pushes.last()?.sender.clone())).await;
    let first = bench.serve(service().checked_often(), &["--monitor", &url]).await;
    let is_second = |push: &&Push| push.sender == second_name;
    worker
        .until("a message of the first machine", |pushes| pushes.iter().find(|push| !is_second(push)).map(drop))
        .await;

    primary.outage(Action::Reset);
    first.logged("server_unhealthy", 1).await;
    let is_unhealthy = |push: &&Push| health_of(&push.state, "primary") == Health::Unhealthy;
    let reported = |pushes: &[Push]| pushes.iter().position(|push| !is_second(&push) && is_unhealthy(&push));
    let reported = worker.until("a message about the failure", reported).await;
    let before_it_is_known = |pushes: &[Push]| {
        let later = pushes[reported..].iter().filter(is_second);
        let unaware = later.clone().take_while(|push| !is_unhealthy(push)).count();
        (unaware < later.count()).then_some(unaware)
    };
    let messages = worker.until("the second machine to merge it", before_it_is_known).await;
    assert!(messages <= 1, "the response to one message has it, {messages} more were sent");

    let requests = primary.counts().requests;
    for _ in 0..5 {
        assert_eq!(second.get("/").await.served_by(), "secondary");
    }
    assert_eq!(primary.counts().requests, requests, "no failed attempt of its own");
    assert_eq!(second.events("attempt_failed"), Vec::<Value>::new());

    primary.recover();
    first.logged("server_healthy", 1).await;
    let recovered = |pushes: &[Push]| {
        let second = pushes.iter().rfind(is_second)?;
        (health_of(&second.state, "primary") == Health::Healthy).then_some(())
    };
    worker.until("the second machine to merge the recovery", recovered).await;
    assert_eq!(second.get("/").await.served_by(), "primary");
}

async fn requests_are_unaffected_by_an_unreachable_worker(bench: Bench) {
    let [primary, unreachable] = bench.servers(["primary", "unreachable"]).await;
    unreachable.stop().await;
    let proxy = bench.serve(Service::of([&primary]), &["--monitor", &unreachable.url()]).await;
    let event = &proxy.logged("monitor_unreachable", 1).await[0];
    assert_eq!(event["detail"], "connection refused");
    assert_eq!(event["source"], format!("{}/__balancer/push", unreachable.url()));
    assert_eq!(proxy.get("/").await.served_by(), "primary");
    // Two more attempts.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(proxy.events("monitor_unreachable").len(), 1, "once per outage");
}

async fn requests_are_unaffected_by_a_hung_worker(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let worker = Worker::start(Service::of([&primary])).await;
    worker.set(Mode::Hang);
    let proxy = bench.serve(Service::of([&primary]), &["--monitor", &worker.url()]).await;
    worker.requests(1).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.served_by(), "primary");
    }
    assert_eq!(proxy.events("monitor_unreachable").len(), 0, "they did not wait for it");
    let event = &proxy.logged("monitor_unreachable", 1).await[0];
    assert_eq!(event["detail"], "no response within 5s");
    worker.set(Mode::Accept);
    let event = &proxy.logged("monitor_reachable", 1).await[0];
    assert!(event["duration_ms"].as_u64().is_some(), "{event}");
}

async fn a_redirect_is_not_followed(bench: Bench) {
    let [primary, login] = bench.servers(["primary", "login"]).await;
    let worker = Worker::start(Service::of([&primary])).await;
    worker.set(Mode::Redirect(login.url()));
    let proxy = bench.serve(Service::of([&primary]), &["--monitor", &worker.url()]).await;
    assert_eq!(detail(&proxy).await, "status 302: a redirect, which is not followed, such as to a login page");
    assert_eq!(login.counts().requests, 0);
}

async fn a_worker_with_another_secret_refuses_messages(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let worker = Worker::start(Service::of([&primary])).await;
    worker.set(Mode::OtherSecret);
    let proxy = bench.serve(Service::of([&primary]), &["--monitor", &worker.url()]).await;
    assert_eq!(detail(&proxy).await, "status 401: the signature is missing or invalid");
    assert_eq!(proxy.get("/").await.served_by(), "primary");
}

async fn a_response_that_is_too_large_is_not_read(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let worker = Worker::start(Service::of([&primary])).await;
    worker.set(Mode::TooLarge);
    let proxy = bench.serve(Service::of([&primary]), &["--monitor", &worker.url()]).await;
    assert_eq!(detail(&proxy).await, "the response is larger than 1048576 bytes");
}

async fn a_reload_keeps_sharing(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let service = || Service::of([&primary]).checked_often();
    let worker = Worker::start(service()).await;
    let proxy = bench.serve(service(), &["--monitor", &worker.url()]).await;
    worker.until("a message", |pushes| pushes.last().map(drop)).await;
    proxy.edit(vec![service(), service().host("other.test")]);
    proxy.logged("config_loaded", 2).await;
    let has_both = |push: &Push| push.state.services.contains_key("other.test") && push.state.services.len() == 2;
    worker.until("a message about both services", |pushes| pushes.iter().any(has_both).then_some(())).await;
}

async fn failures_observed_without_contact_are_not_shared(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let service = || Service::of([&primary]).checked_often();
    let worker = Worker::start(service()).await;
    let proxy = bench.serve(service(), &["--monitor", &worker.url()]).await;
    let is_healthy = |pushes: &[Push]| (health_of(&pushes.last()?.state, "primary") == Health::Healthy).then_some(());
    worker.until("a healthy server", is_healthy).await;
    // As if the machine had no network.
    worker.set(Mode::Hang);
    primary.outage(Action::Reset);
    proxy.logged("server_unhealthy", 1).await;
    proxy.logged("monitor_unreachable", 1).await;
    primary.recover();
    worker.set(Mode::Accept);
    let before = worker.until("messages", |pushes| Some(pushes.len())).await;
    proxy.logged("monitor_reachable", 2).await;
    worker.until("a healthy server", |pushes| is_healthy(&pushes[before..])).await;
    let is_failing = |push: &Push| health_of(&push.state, "primary") == Health::Unhealthy;
    let failing = worker.until("messages", |pushes| Some(pushes.iter().filter(|push| is_failing(push)).count())).await;
    assert_eq!(failing, 0);
}

async fn detail(proxy: &Process) -> String {
    let event = &proxy.logged("monitor_unreachable", 1).await[0];
    event["detail"].as_str().expect("a string").to_owned()
}

fn health_of(state: &SharedState, server: &str) -> Health {
    let mut servers = state.services.values().flat_map(|snapshot| &snapshot.servers);
    servers.find(|entry| entry.server == server).map(|entry| entry.health).unwrap_or_default()
}
