//! `health_sharing: durable_object`.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tunnel_balancer_state::ReadBudget;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::proxy::events;
use tunnel_balancer_tests::server::HEALTH_PATH;
use tunnel_balancer_tests::{Action, FaultyServer, Reply, Request, Service, TIMEOUT};

use crate::control::{PATH, TOKEN, deployment, send};
use crate::yaml;

const BINDINGS: &[&str] = &["object"];

#[tokio::test]
async fn alarms_continue_after_a_restart_without_a_request() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("durable_object", "", vec![Service::of([&primary, &replica]).checked_often()]);
    let (storage, worker) = (Storage::new(), [Deployment::new("a", yaml.as_str(), BINDINGS)]);
    let miniflare = Miniflare::start(&storage, &worker).await;
    miniflare.client("a").get("/").await;
    primary.outage(Reply::status(530));
    miniflare.log().until("an outage", |log| log.contains("server_unhealthy")).await;
    let probes = primary.until("probes of the object", |counts| counts.probes >= 4).await.probes;
    drop(miniflare);
    let miniflare = Miniflare::start(&storage, &worker).await;
    primary.until("probes after the restart", |counts| counts.probes >= probes + 4).await;
    let log = miniflare.log().text();
    assert!(!log.contains("server_unhealthy"), "it was unhealthy before: {log}");
    primary.recover();
    miniflare.log().until("the recovery", |log| log.contains("server_healthy")).await;
}

#[tokio::test]
async fn an_outage_is_announced_once_although_the_object_restarts() {
    let [primary, replica, receiver] = FaultyServer::start_all(["primary", "replica", "receiver"]).await;
    let notify = format!("notify: {{ json: \"{}/hook\" }}\n", receiver.url());
    let yaml = yaml("durable_object", &notify, vec![Service::of([&primary, &replica]).checked_often()]);
    let (storage, worker) = (Storage::new(), [Deployment::new("a", yaml.as_str(), BINDINGS)]);
    let miniflare = Miniflare::start(&storage, &worker).await;
    miniflare.client("a").get("/").await;
    primary.until("a first probe", |counts| counts.probes >= 2).await;
    // The receiver fails, and the object ends before it repeats the notice.
    receiver.respond(Reply::status(500));
    primary.outage(Reply::status(530));
    receiver.until("the notice", |counts| counts.requests > 0).await;
    sleep(Duration::from_secs(2)).await;
    drop(miniflare);
    receiver.recover();
    let failed = receiver.hits();
    let miniflare = Miniflare::start(&storage, &worker).await;
    receiver.until("the notice again", |counts| counts.requests > failed).await;
    primary.recover();
    receiver.until("the recovery", |counts| counts.requests > failed + 1).await;
    let probes = replica.counts().probes;
    replica.until("more runs", |counts| counts.probes > probes + 4).await;
    drop(miniflare);
    let notices = receiver.requests();
    let ids: Vec<&str> = notices.iter().filter_map(|notice| notice.header("idempotency-key")).collect();
    let (failed, accepted) = ids.split_at(failed);
    assert_eq!(accepted.len(), 2, "the outage and the recovery: {notices:#?}");
    assert!(failed.iter().all(|id| *id == accepted[0]) && accepted[0] != accepted[1], "{ids:?}");
}

#[tokio::test]
async fn probes_are_summarized_by_minute_and_hour() {
    let primary = FaultyServer::start("primary").await;
    let yaml = yaml("durable_object", "", vec![Service::of([&primary]).checked_often()]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["counted object"])]).await;
    let client = miniflare.client("a");
    client.get("/").await;
    let started = Instant::now();
    for kind in ["minute", "hour"] {
        let target = format!("{PATH}/summaries?kind={kind}");
        let summaries = loop {
            let (_, json) = send(&client, Request::get(&target), TOKEN).await;
            if let Some(first) = json[format!("{kind}s")].get(0) {
                break first.clone();
            }
            // A minute has to end first.
            assert!(started.elapsed() < Duration::from_secs(120), "{json} {}", miniflare.log().text());
            sleep(Duration::from_secs(1)).await;
        };
        let probes = &summaries["probes"][format!("{} primary", tunnel_balancer_tests::client::HOST)];
        assert!(probes[0].as_u64() >= Some(1) && probes[1] == 0, "{summaries}");
    }
    // The rows of a run, of a minute, and of the first run, which creates tables. These are the
    // figures of `crates/state/tests/quotas.rs`.
    let rows_by_run = || -> Vec<u64> {
        let log = miniflare.log().text();
        let runs = events(&log).filter(|entry| entry["event"] == "rows_written");
        runs.filter_map(|run| run["rows"].as_u64()).collect()
    };
    // A minute may have ended after the first run.
    while rows_by_run().len() <= 2 {
        assert!(started.elapsed() < Duration::from_secs(120), "{}", miniflare.log().text());
        sleep(Duration::from_secs(1)).await;
    }
    let rows = rows_by_run();
    println!("rows by run: {rows:?}");
    let minutes = started.elapsed().as_secs().div_ceil(60) + 1;
    assert!(rows[1..].iter().all(|rows| (2..=2 + 4).contains(rows)), "{rows:?}");
    assert!(rows[1..].iter().filter(|rows| **rows > 2).count() as u64 <= 2 * minutes + 1, "{rows:?}");
}

#[tokio::test]
async fn the_isolates_of_a_data_center_read_the_object_as_one() {
    let server = FaultyServer::start("server").await;
    let yaml = yaml("durable_object", "", vec![Service::of([&server]).checked()]);
    let workers = ["a", "b", "c"].map(|name| Deployment::new(name, yaml.as_str(), &["counted object"]));
    let miniflare = Miniflare::start(&Storage::new(), &workers).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(15) {
        for name in ["a", "b", "c"] {
            miniflare.client(name).get("/").await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let log = miniflare.log().text();
    let requests = events(&log).filter(|entry| entry["event"] == "object_request").count();
    println!("{requests} requests within {:?}", started.elapsed());
    // One in three seconds, and another one if two isolates find the cache empty at once. Each of
    // them reads the cache once a second.
    let expired = started.elapsed().as_secs() / ReadBudget::FAST.as_secs() + 1;
    assert!((3..=2 * expired).contains(&(requests as u64)), "{requests} requests: {log}");
}

#[tokio::test]
async fn the_object_has_at_most_six_connections() {
    let server = FaultyServer::start("server").await;
    server.respond_to_probes(Action::Hang);
    // No probe ends during the test: a server notices the end of a connection late.
    let services = (0..60).map(|n| Service::of([&server]).host(&format!("{n}.test")).checked_every("60s", "60s"));
    let yaml = yaml("durable_object", "", services.collect());
    let mut miniflare = Miniflare::start(&Storage::new(), &[Deployment::new("a", yaml, BINDINGS)]).await;
    // It starts the object without a request, whose isolate would also probe.
    miniflare.fire_cron("a");
    server.until("the probes that the limit allows", |counts| counts.probes >= 6).await;
    sleep(Duration::from_millis(1_500)).await;
    let counts = server.counts();
    assert_eq!((counts.probes, counts.aborted), (6, 0), "{counts:?}");
}

#[tokio::test]
async fn a_run_for_three_hundred_servers_makes_at_most_fifty_subrequests() {
    let receiver = FaultyServer::start("receiver").await;
    let servers = FaultyServer::start_all(["a", "b", "c"]).await;
    let targets: Vec<String> = (0..5).map(|n| format!("{{ json: \"{}/{n}\" }}", receiver.url())).collect();
    let check = format!("{{ path: {HEALTH_PATH}, interval: 30s, unhealthy_interval: 10s, timeout: 5s, fall: 1 }}");
    let services = (0..100).map(|n| Service::of(&servers).host(&format!("{n}.test")).health_check(&check));
    let yaml = yaml("durable_object", &format!("notify: [{}]\n", targets.join(", ")), services.collect());
    // Each run has more to announce than it may send.
    servers[2].outage(Reply::status(530));
    let mut miniflare = Miniflare::start(&Storage::new(), &[Deployment::new("a", yaml, BINDINGS)]).await;
    // It starts the object without a request, whose isolate would also probe.
    miniflare.fire_cron("a");
    let started = Instant::now();
    let is_probed = || servers.iter().all(|server| server.counts().probes >= 100);
    let is_announced = || (0..5).all(|n| receiver.requests().iter().any(|it| it.target == format!("/{n}")));
    while !is_probed() || !is_announced() {
        assert!(started.elapsed() < TIMEOUT, "{}", miniflare.log().text());
        sleep(Duration::from_millis(100)).await;
    }
    let probes = servers.iter().flat_map(FaultyServer::probes);
    let mut arrived: Vec<_> = probes.chain(receiver.requests()).map(|request| request.arrived).collect();
    arrived.sort();
    // A run begins at least a second after the end of the one before.
    let runs = arrived.chunk_by(|before, after| *after - *before < Duration::from_millis(500));
    let runs: Vec<usize> = runs.map(<[_]>::len).collect();
    println!("subrequests by run: {runs:?}, within {:?}", started.elapsed());
    assert!(runs.iter().all(|requests| *requests <= 50), "{runs:?}");
    assert!(runs.contains(&49), "45 probes and 4 notices: {runs:?}");
}

#[tokio::test]
async fn requests_do_not_wait_for_an_object_that_does_not_respond() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let services = vec![Service::of([&primary, &replica]).checked()];
    let worker = Deployment::new("a", yaml("durable_object", "", services), &["hung object"]);
    let miniflare = Miniflare::start(&Storage::new(), &[worker]).await;
    let client = miniflare.client("a");
    for _ in 0..20 {
        assert_eq!(client.get("/").await.served_by(), "primary");
        sleep(Duration::from_millis(100)).await;
    }
    primary.outage(Action::Reset);
    assert_eq!(client.get("/").await.served_by(), "replica");
    miniflare.log().until("the failed exchange", |log| log.contains("sharing_failed")).await;
}
