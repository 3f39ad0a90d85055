//! Two processes with one Durable Object.
//!
//! Cloudflare runs the isolates of a Worker in many processes, and the object in one of them. Here,
//! too, each process is a workerd of its own, with caches of its own. The second one reaches the
//! object of the first one as in two sessions of `wrangler dev`.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tunnel_balancer_tests::miniflare::{Miniflare, Storage};
use tunnel_balancer_tests::{FaultyServer, Reply, Request, Service};

use crate::control::{PATH, TOKEN, deployment, send};
use crate::{BOUND, yaml};

#[tokio::test]
async fn another_process_avoids_a_dead_server_without_an_attempt_of_its_own() {
    let [primary, replica, other] = FaultyServer::start_all(["primary", "replica", "other"]).await;
    // The object probes too rarely to notice the failure itself.
    let services =
        vec![Service::of([&primary, &replica]).checked_every("10m", "10m"), Service::of([&other]).host("other.test")];
    let yaml = yaml("durable_object", "", services);
    let worker = |name| deployment(name, &yaml, &["object"]);
    let first = Miniflare::start(&Storage::new(), &[worker("a")]).await;
    let second = first.start_beside(&[worker("b")]).await;
    let (a, b) = (first.client("a"), second.client("b"));
    for client in [&a, &b] {
        assert_eq!(client.get("/").await.served_by(), "primary");
    }
    // Both have read the record before the outage.
    sleep(Duration::from_secs(2)).await;
    primary.outage(Reply::status(530));
    a.get("/").await;
    first.log().until("an ejection", |log| log.contains("server_ejected")).await;
    let ejected = Instant::now();
    let elsewhere = Request::get("/").host("other.test");
    while ejected.elapsed() < BOUND {
        b.send(elsewhere.clone()).await;
        sleep(Duration::from_millis(250)).await;
    }
    let hits = primary.hits();
    assert_eq!(b.get("/").await.served_by(), "replica", "{}", second.log().text());
    assert_eq!(primary.hits(), hits, "no attempt: {}", second.log().text());
    assert!(!second.log().text().contains("sharing_failed"), "{}", second.log().text());
    let (_, history) = send(&b, Request::get(&format!("{PATH}/history")), TOKEN).await;
    let entries = history["history"].as_array().expect("a list");
    let ejections: Vec<_> = entries.iter().filter(|entry| entry["event"] == "server_ejected").collect();
    assert_eq!(ejections.len(), 1, "{history}");
    assert!(ejections[0]["origin"].as_str().is_some_and(|origin| origin.starts_with("isolate-")), "{history}");
}
