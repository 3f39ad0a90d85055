//! Machines with `tunnel-balancer serve` that share health through the Worker.

use std::time::Duration;

use serde_json::{Value, json};
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::proxy::{MONITOR_KEY, Process, Proxy};
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Action, FaultyServer, Service};

use crate::yaml;

/// The longest time until all machines know of a failure that one has seen.
const BOUND: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_failure_that_one_machine_sees_is_avoided_by_the_other() {
    for (sharing, bindings) in [("monitor", &[][..]), ("durable_object", &["object"])] {
        let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
        let service = || Service::of([&primary, &replica]);
        let worker = Deployment {
            secrets: json!({ MONITOR_KEY.0: MONITOR_KEY.1 }),
            ..Deployment::new("a", yaml(sharing, "", vec![service().checked_often()]), bindings)
        };
        let miniflare = Miniflare::start(&Storage::new(), &[worker]).await;
        let url = format!("http://{}", miniflare.client("a").addr());
        // It probes too rarely to notice the failure itself.
        let rarely = "{ path: /__health, interval: 10m, unhealthy_interval: 10m, timeout: 1s }";
        let second = serve(service().health_check(rarely), &url).await;
        let first = serve(service().checked_often(), &url).await;
        for machine in [&first, &second] {
            machine.logged("monitor_reachable", 1).await;
        }
        let probes = primary.counts().probes;
        primary.until("probes", |counts| counts.probes >= probes + 3).await;

        primary.outage(Action::Reset);
        first.logged("server_unhealthy", 1).await;
        tokio::time::sleep(BOUND).await;
        let requests = primary.counts().requests;
        for _ in 0..5 {
            assert_eq!(second.get("/").await.served_by(), "replica", "{sharing}: {}", second.log().text());
        }
        assert_eq!(primary.counts().requests, requests, "{sharing}");
        assert_eq!(second.events("attempt_failed"), Vec::<Value>::new(), "{sharing}");
        assert_eq!(second.events("monitor_unreachable"), Vec::<Value>::new(), "{sharing}");
    }
}

async fn serve(yaml: impl Into<Yaml>, url: &str) -> Process {
    let proxy = Proxy::find().unwrap_or_else(|error| panic!("{error}"));
    let started = proxy.start(&yaml.into().0, &["--monitor", url], &Log::default()).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}
