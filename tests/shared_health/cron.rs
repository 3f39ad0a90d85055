//! `health_sharing: kv`, with cron triggers.

use std::time::Duration;

use tokio::time::sleep;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::{FaultyServer, Reply, Service};

use crate::yaml;

#[tokio::test]
async fn a_new_isolate_knows_what_the_cron_trigger_found() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("kv", "", vec![Service::of([&primary, &replica]).checked_often()]);
    let storage = Storage::new();
    let workers = ["cron", "fresh"].map(|name| Deployment::new(name, yaml.as_str(), &["kv"]));
    let mut miniflare = Miniflare::start(&storage, &workers).await;
    primary.outage(Reply::status(530));
    miniflare.fire_cron("cron");
    let log = miniflare.log().until("the run", |log| log.contains(r#""scheduled""#)).await;
    assert!(log.contains("server_unhealthy"), "{log}");
    // The first request only starts the exchange.
    let client = miniflare.client("fresh");
    client.get("/").await;
    sleep(Duration::from_secs(1)).await;
    let hits = primary.hits();
    assert_eq!(client.get("/").await.served_by(), "replica");
    assert_eq!(primary.hits(), hits, "no attempt: {}", miniflare.log().text());
}
