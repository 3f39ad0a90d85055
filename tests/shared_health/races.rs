//! Requests of operators beside other work.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::miniflare::{Miniflare, Storage};
use tunnel_balancer_tests::{Action, FaultyServer, Gate, Reply, Request, Service, within};

use crate::control::{PATH, TOKEN, command, deployment, send};
use crate::yaml;

#[tokio::test]
async fn a_command_whose_body_is_slow_undoes_no_other_one() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("durable_object", "", vec![Service::of([&primary, &replica])]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["object"])]).await;
    let client = miniflare.client("a");
    let weight = json!({ "action": "weight", "service": HOST, "server": "primary", "weight": 5 }).to_string();
    let request = Request::new("POST", PATH).header("content-type", "application/json");
    let request = request.header("authorization", &format!("Bearer {TOKEN}"));
    let mut slow = client.upload(request, weight.len() as u64).await;
    slow.piece(&weight[..20]).await;
    sleep(Duration::from_secs(1)).await;
    command(&client, json!({ "action": "drain", "service": HOST, "server": "primary" })).await;
    slow.piece(&weight[20..]).await;
    let response = slow.response().await;
    assert_eq!(response.status, 200, "{} {}", response.text(), miniflare.log().text());
    let (_, status) = send(&client, Request::get(PATH), TOKEN).await;
    assert_eq!(status["overrides"].as_array().map(Vec::len), Some(2), "{status}");
}

#[tokio::test]
async fn a_notice_in_flight_survives_a_command_and_a_crash() {
    let [primary, replica, receiver] = FaultyServer::start_all(["primary", "replica", "receiver"]).await;
    let notify = format!("notify: {{ json: \"{}/hook\" }}\n", receiver.url());
    let yaml = yaml("durable_object", &notify, vec![Service::of([&primary, &replica]).checked_often()]);
    let (storage, worker) = (Storage::new(), [deployment("a", &yaml, &["object"])]);
    let miniflare = Miniflare::start(&storage, &worker).await;
    let client = miniflare.client("a");
    client.get("/").await;
    primary.until("a first probe", |counts| counts.probes >= 2).await;
    primary.outage(Reply::status(530));
    receiver.until("the outage", |counts| counts.requests == 1).await;
    sleep(Duration::from_secs(2)).await;
    // The receiver does not respond to the recovery, and the object ends in the meantime.
    receiver.respond(Action::Hang);
    primary.recover();
    receiver.until("the recovery", |counts| counts.requests == 2).await;
    command(&client, json!({ "action": "weight", "service": HOST, "server": "replica", "weight": 5 })).await;
    drop(miniflare);
    receiver.recover();
    let miniflare = Miniflare::start(&storage, &worker).await;
    let started = Instant::now();
    // The result of the delivery is waited for until a minute after it began.
    while receiver.hits() < 3 {
        assert!(started.elapsed() < Duration::from_secs(90), "{}", miniflare.log().text());
        sleep(Duration::from_millis(200)).await;
    }
    drop(miniflare);
    let notices = receiver.requests();
    let id = |index: usize| notices[index].header("idempotency-key").expect("an id");
    assert_eq!(id(1), id(2), "{notices:#?}");
}

#[tokio::test]
async fn a_command_during_a_run_of_the_cron_trigger_is_kept() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("kv", "", vec![Service::of([&primary, &replica]).checked_often()]);
    let worker = [deployment("a", &yaml, &["kv"])];
    let mut miniflare = Miniflare::start(&Storage::new(), &worker).await;
    let client = miniflare.client("a");
    let gate = Gate::closed();
    primary.respond_to_probes(Action::Held(gate.clone(), Box::new(Reply::status(530).into())));
    miniflare.fire_cron("a");
    primary.until("the run", |counts| counts.probes >= 1).await;
    command(&client, json!({ "action": "weight", "service": HOST, "server": "replica", "weight": 5 })).await;
    gate.open();
    let log = miniflare.log().until("the end", |log| log.contains(r#""scheduled""#)).await;
    assert!(log.contains("server_unhealthy"), "{log}");
    let (_, status) = send(&client, Request::get(PATH), TOKEN).await;
    assert_eq!(status["overrides"].as_array().map(Vec::len), Some(1), "{status}");
    let (_, history) = send(&client, Request::get(&format!("{PATH}/history")), TOKEN).await;
    assert!(history.to_string().contains("control_changed"), "{history}");
    assert!(history.to_string().contains("server_unhealthy"), "{history}");
}

#[tokio::test]
async fn a_change_ends_in_time_although_nothing_is_read() {
    let primary = FaultyServer::start("primary").await;
    let yaml = yaml("kv", "", vec![Service::of([&primary])]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["kv"])]).await;
    let client = miniflare.client("a");
    command(&client, json!({ "action": "maintenance", "service": HOST, "on": true, "duration_ms": 2_000 })).await;
    assert_eq!(client.get("/").await.status, 503);
    sleep(Duration::from_millis(2_200)).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn heartbeats_continue_without_a_service_that_was_down_when_it_was_removed() {
    let [primary, removed, receiver] = FaultyServer::start_all(["primary", "removed", "receiver"]).await;
    let notify = format!("notify: [{{ json: \"{0}/hook\" }}, {{ heartbeat: \"{0}/heartbeat\" }}]\n", receiver.url());
    let kept = || Service::of([&primary]).checked_often();
    let other = Service::of([&removed]).host("removed.test").checked_often();
    let [with, without] = [vec![kept(), other], vec![kept()]].map(|services| yaml("durable_object", &notify, services));
    let storage = Storage::new();
    removed.outage(Reply::status(530));
    let miniflare = Miniflare::start(&storage, &[deployment("a", &with, &["object"])]).await;
    miniflare.client("a").get("/").await;
    let sent = |target: &str| receiver.requests().iter().filter(|it| it.target == target).count();
    within("a notice", async {
        while sent("/hook") == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    drop(miniflare);
    let before = sent("/heartbeat");
    let miniflare = Miniflare::start(&storage, &[deployment("a", &without, &["object"])]).await;
    miniflare.client("a").get("/").await;
    let started = Instant::now();
    while sent("/heartbeat") == before {
        assert!(started.elapsed() < Duration::from_secs(70), "no heartbeat: {}", miniflare.log().text());
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_command_without_the_binding_of_its_store_gets_an_error_in_json() {
    let primary = FaultyServer::start("primary").await;
    for sharing in ["durable_object", "kv"] {
        let yaml = yaml(sharing, "", vec![Service::of([&primary])]);
        let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &[])]).await;
        let (response, json) = send(&miniflare.client("a"), Request::get(PATH), TOKEN).await;
        assert_eq!((response.status, &json["error"]), (503, &json!("storage_failed")), "{}", response.text());
    }
}
