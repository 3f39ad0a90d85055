//! The status endpoint of the proxy: on its admin listener, at a reload and during a shutdown.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tunnel_balancer_tests::proxy::{Process, Signal};
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Action, Bench, Client, Gate, Reply, Request, Service, within};

use super::control::{ADMIN, Operator};

cases![
    not on Worker: "a Worker has no admin listener, and does not reload or shut down";
    the_admin_listener_has_the_page_without_configuration,
    the_page_of_the_admin_listener_may_send_commands,
    a_reload_applies_other_settings,
    a_proxy_that_drains_is_not_ready,
    a_missing_secret_is_logged_and_the_public_form_stays,
    prometheus_scrapes_the_proxy,
];

const REPORT: &str = "/__balancer/status.json";

fn yaml(settings: &str, service: Service) -> Yaml {
    let Yaml(services) = service.into();
    Yaml(format!("status: {settings}\n{services}"))
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    let response = client.send(Request::get(path).host("127.0.0.1")).await;
    (response.status, serde_json::from_str(&response.text()).unwrap_or_default())
}

async fn the_admin_listener_has_the_page_without_configuration(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let admin = Operator::of(&proxy).await.client();
    let root = admin.send(Request::get("/").host("127.0.0.1")).await;
    assert_eq!((root.status, root.header("Location")), (302, Some("/__balancer")));
    assert_eq!(get(&admin, "/__balancer").await.0, 200);
    let (_, report) = get(&admin, REPORT).await;
    assert_eq!((&report["balancer"]["host"], &report["counts_of"]), (&json!("serve"), &json!("process")));
    assert_eq!((&report["control"], &report["sharing"]["mode"]), (&json!(true), &json!("process")));
    assert!(report["history_since"].is_u64(), "{report}");
    assert_eq!(proxy.get(REPORT).await.served_by(), "a", "the public listener has no endpoint");
    let other = admin.send(Request::get(REPORT).host("evil.example")).await;
    assert_eq!(other.status, 403, "{}", other.text());
}

async fn the_page_of_the_admin_listener_may_send_commands(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let admin = Operator::of(&proxy).await.client();
    let host = admin.addr().to_string();
    let drain = json!({ "action": "drain", "service": "app.test", "server": "a" }).to_string();
    let post = |origin: &str| {
        let request = Request::post("/__balancer/control", drain.clone()).host(&host);
        request.header("Content-Type", "application/json").header("Origin", origin)
    };
    for origin in ["http://evil.example", "http://127.0.0.1", "null"] {
        assert_eq!(admin.send(post(origin)).await.status, 403, "{origin}");
    }
    assert_eq!(proxy.get("/").await.served_by(), "a");
    assert_eq!(admin.send(post(&format!("http://{host}"))).await.status, 200);
    assert_eq!(proxy.get("/").await.served_by(), "b");
    let (_, report) = get(&admin, REPORT).await;
    assert_eq!(report["services"][0]["servers"][0]["skipped"], "draining");
    assert_eq!(report["overrides"][0]["action"], "drain");
    let (_, details) = get(&admin, "/__balancer/status.json?service=app.test").await;
    assert_eq!(details["services"][0]["history"][0]["event"], "control_changed");
}

async fn a_reload_applies_other_settings(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(Service::of([&a]), &[]).await;
    assert_eq!(proxy.get(REPORT).await.served_by(), "a");
    proxy.edit(yaml("{ public: true }", Service::of([&a])));
    proxy.logged("config_loaded", 2).await;
    assert_eq!(get(&proxy, REPORT).await.1["kind"], "public");
    proxy.edit(yaml("{ public: true, path: /other }", Service::of([&a])));
    proxy.logged("config_loaded", 3).await;
    assert_eq!(get(&proxy, "/other/status.json").await.1["kind"], "public");
    assert_eq!(proxy.get(REPORT).await.served_by(), "a");
}

async fn a_proxy_that_drains_is_not_ready(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let mut proxy = bench.serve(Service::of([&a]), &ADMIN).await;
    let admin = Operator::of(&proxy).await.client();
    assert_eq!(get(&admin, "/__balancer/readyz").await.0, 200);
    let gate = Gate::closed();
    a.respond(Action::Held(gate.clone(), Action::Echo.into()));
    let drain = async {
        a.until("the request", |counts| counts.requests == 1).await;
        proxy.signal(Signal::TERM);
        proxy.logged("draining", 1).await;
        within("the refusal", async {
            while get(&admin, "/__balancer/readyz").await.0 != 503 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(get(&admin, "/__balancer/healthz").await.0, 200);
        assert_eq!(get(&admin, REPORT).await.0, 503);
        gate.open();
    };
    let (response, ()) = tokio::join!(proxy.get("/"), drain);
    assert_eq!(response.status, 200);
    assert_eq!(proxy.exit().await.code(), Some(0));
}

async fn a_missing_secret_is_logged_and_the_public_form_stays(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(yaml("{ token: \"${MISSING_TOKEN}\", public: true }", Service::of([&a])), &[]).await;
    assert_eq!(get(&proxy, REPORT).await.1["kind"], "public");
    assert_eq!(get(&proxy, "/__balancer/metrics").await.0, 401);
    let warnings = proxy.events("config_warning");
    assert!(warnings.iter().any(|it| it["reason"] == "missing_secret"), "{warnings:?}");
    assert_eq!(proxy.get("/").await.served_by(), "a", "no service is affected");
}

/// Needs the Debian package `prometheus`.
async fn prometheus_scrapes_the_proxy(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let proxy = bench.serve(Service::of([&a]), &ADMIN).await;
    a.respond_at("/broken", Reply::status(502));
    proxy.get("/").await;
    proxy.get("/broken").await;
    let admin = Operator::of(&proxy).await.client();
    let Some(prometheus) = Prometheus::start(&proxy, &admin.addr().to_string()) else {
        eprintln!("skipped: prometheus is not installed (Debian package `prometheus`)");
        return;
    };
    let queries = [
        ("up", "1"),
        ("tunnel_balancer_requests_total", "2"),
        ("tunnel_balancer_failed_requests_total", "1"),
        ("tunnel_balancer_server_response_seconds_count", "1"),
        ("tunnel_balancer_build_info", "1"),
    ];
    for (query, expected) in queries {
        let found = within(query, prometheus.value(query)).await;
        assert_eq!(found, expected, "{query}");
    }
}

/// A running Prometheus, which is killed on drop.
struct Prometheus {
    child: Child,
    client: Client,
}

impl Prometheus {
    /// Starts it with one target. `None` if it is not installed.
    fn start(proxy: &Process, target: &str) -> Option<Self> {
        let directory = proxy.directory().join("prometheus");
        fs::create_dir(&directory).expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let scrape = json!({ "job_name": "balancer", "metrics_path": "/__balancer/metrics",
            "static_configs": [{ "targets": [target] }] });
        let config = json!({ "global": { "scrape_interval": "1s" }, "scrape_configs": [scrape] });
        fs::write(directory.join("prometheus.yml"), config.to_string()).expect("a file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, client: Client::new(address) })
    }

    /// Returns the value of a series, when there is one.
    async fn value(&self, query: &str) -> String {
        loop {
            if let Ok(mut connection) = self.client.try_connect().await
                && let Ok(response) = connection.send(&Request::get(&format!("/api/v1/query?query={query}"))).await
                && let Ok(found) = serde_json::from_str::<Value>(&response.text())
                && let Some(value) = found["data"]["result"][0]["value"][1].as_str()
            {
                return value.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
