//! The status endpoint on public hosts: the same paths, access rules and counts in all hosts.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tunnel_balancer_tests::target::SECRET;
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Bench, Client, FaultyServer, Reply, Request, Response, Service};

cases![
    without_settings_the_paths_belong_to_the_application,
    the_report_shows_an_outage_and_its_end,
    servers_get_no_request_for_the_endpoint,
    strangers_see_no_internals,
    wrong_tokens_are_limited_and_the_right_one_is_not,
    the_page_is_one_document_with_a_policy,
    counts_of_the_same_traffic_are_equal,
    prometheus_accepts_the_metrics,
    another_path_can_be_configured,
];

pub(crate) const TOKEN: &str = "token: \"${AFFINITY_KEY}\"";
pub(crate) const REPORT: &str = "/__balancer/status.json";
const PATHS: [&str; 11] = [
    "/__balancer",
    "/__balancer/",
    REPORT,
    "/__balancer/status.json?service=app.test",
    "/__balancer/metrics",
    "/__balancer/badge/my-app.svg",
    "/__balancer/badge/internal-a.svg",
    "/__balancer/healthz",
    "/__balancer/readyz",
    "/__balancer/control",
    "/__balancer/unknown",
];

/// Returns a configuration with these settings of `status`.
pub(crate) fn yaml(settings: &str, service: Service) -> Yaml {
    let Yaml(services) = service.with("title: My App").into();
    Yaml(format!("status: {{ {settings} }}\n{services}"))
}

fn with_token(path: &str) -> Request {
    Request::get(path).header("Authorization", &format!("Bearer {}", SECRET.1))
}

async fn report(client: &Client) -> Value {
    json_of(&client.send(with_token(REPORT)).await)
}

fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).expect("JSON")
}

async fn without_settings_the_paths_belong_to_the_application(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(Service::of([&a])).await;
    // In the Worker, the path of the control API never reaches an application.
    for path in PATHS.into_iter().filter(|path| *path != "/__balancer/control") {
        assert_eq!(app.send(with_token(path)).await.served_by(), "a", "{path}");
    }
}

async fn the_report_shows_an_outage_and_its_end(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(yaml(TOKEN, Service::of([&primary, &replica]).checked_often())).await;
    let server = |report: &Value, index: usize| report["services"][0]["servers"][index].clone();
    let healthy = until(&app, |report| server(report, 0)["state"] == "healthy").await;
    let service = &healthy["services"][0];
    assert_eq!((&service["service"], &service["title"]), (&json!("app.test"), &json!("My App")));
    assert_eq!(service["serving"], json!(["primary"]));
    assert_eq!(server(&healthy, 1)["skipped"], "standby");
    primary.stop().await;
    let out = until(&app, |report| server(report, 0)["state"] == "unhealthy").await;
    let service = &out["services"][0];
    assert_eq!((&service["state"], &service["serving"]), (&json!("degraded"), &json!(["replica"])));
    let first = server(&out, 0);
    assert_eq!((&first["skipped"], &first["probe"]["passed"]), (&json!("unhealthy"), &json!(false)));
    assert!(first["since"].as_u64() > Some(1_600_000_000_000) && first["reason"].is_string(), "{first}");
    primary.restart().expect("its port is held");
    until(&app, |report| report["services"][0]["state"] == "up").await;
}

/// Requests the report until it is as expected. In the Worker, requests start the probes.
pub(crate) async fn until(client: &Client, condition: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let report = report(client).await;
            if condition(&report) {
                return report;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tunnel_balancer_tests::within("the report", wait).await
}

async fn servers_get_no_request_for_the_endpoint(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(yaml("public: true", Service::of([&a]))).await;
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "PUT"] {
            let response = app.send(Request::new(method, path)).await;
            assert!(response.header("X-Served-By").is_none(), "{method} {path}");
        }
    }
    assert_eq!(a.hits(), 0);
    for path in ["/__balancers", "/x/__balancer", "/__balance"] {
        assert_eq!(app.get(path).await.served_by(), "a", "{path}");
    }
}

async fn strangers_see_no_internals(bench: Bench) {
    let [a, b] = bench.servers(["internal-a", "internal-b"]).await;
    for settings in [TOKEN, "public: true", &format!("{TOKEN}, public: true")] {
        let app = bench.start(yaml(settings, service_with_header(&a, &b))).await;
        a.outage(Reply::status(530));
        app.get("/").await;
        let report = app.send(Request::get(REPORT).host("stranger.test")).await;
        assert_eq!(report.status, if settings.contains("public") { 200 } else { 401 }, "{settings}");
        for path in PATHS {
            for request in [Request::get(path), Request::get(path).header("Authorization", "Bearer of a stranger")] {
                let response = app.send(request.host("stranger.test")).await;
                let text = format!("{:?} {}", response.headers, response.text()).to_lowercase();
                for internal in
                    ["app.test", "internal-", "127.0.0.1", "x-internal", "header value", SECRET.1, "status 530"]
                {
                    assert!(!text.contains(internal), "{settings}, {path}: {internal}\n{text}");
                }
            }
        }
        a.recover();
    }
}

fn service_with_header(a: &FaultyServer, b: &FaultyServer) -> Service {
    Service::of([a, b]).each_with("headers: { X-Internal: \"header value\" }")
}

async fn wrong_tokens_are_limited_and_the_right_one_is_not(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(yaml(TOKEN, Service::of([&a]))).await;
    let wrong = || Request::get(REPORT).header("Authorization", "Bearer wrong");
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(app.send(wrong()).await.status);
    }
    assert_eq!((&statuses[..10], statuses[10]), (&[401; 10][..], 429));
    report(&app).await;
    app.log().until("the rejection", |log| log.contains("\"reason\":\"unauthorized\"")).await;
    assert!(!app.log().text().contains(SECRET.1));
}

async fn the_page_is_one_document_with_a_policy(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(yaml("public: true", Service::of([&a]))).await;
    let page = app.get("/__balancer").await;
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("Content-Security-Policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    for (name, value) in
        [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY")]
    {
        assert_eq!(page.header(name), Some(value));
    }
    assert!(page.text().starts_with("<!doctype html>") && !page.text().contains("app.test"));
    let head = app.send(Request::new("HEAD", "/__balancer")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let badge = app.get("/__balancer/badge/my-app.svg").await;
    assert_eq!((badge.status, badge.header("Content-Type")), (200, Some("image/svg+xml")));
    assert!(badge.text().contains("My App: up"), "{}", badge.text());
}

/// All hosts are compared with the same figures.
async fn counts_of_the_same_traffic_are_equal(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(yaml(TOKEN, Service::of([&primary, &replica]))).await;
    for _ in 0..4 {
        app.get("/").await;
    }
    primary.respond_at("/broken", Reply::status(502));
    replica.respond_at("/broken", Reply::status(502));
    primary.respond_at("/retried", Reply::status(503));
    assert_eq!(app.get("/retried").await.served_by(), "replica");
    assert_eq!(app.get("/broken").await.status, 502);
    assert_eq!(app.post("/broken", "once").await.status, 502);
    let metrics = app.send(with_token("/__balancer/metrics")).await.text();
    let expected = "\
requests_total{service=\"app.test\"} 7
failed_requests_total{service=\"app.test\"} 2
canceled_requests_total{service=\"app.test\"} 0
retries_total{service=\"app.test\"} 2
hedges_total{service=\"app.test\"} 0
held_requests_total{service=\"app.test\"} 0
requests_in_flight{service=\"app.test\"} 0
server_attempts_total{service=\"app.test\",server=\"primary\"} 7
server_attempts_total{service=\"app.test\",server=\"replica\"} 2
server_failed_attempts_total{service=\"app.test\",server=\"primary\"} 3
server_failed_attempts_total{service=\"app.test\",server=\"replica\"} 1
server_response_seconds_count{service=\"app.test\",server=\"primary\"} 4
server_response_seconds_count{service=\"app.test\",server=\"replica\"} 1
";
    for line in expected.lines() {
        assert!(metrics.lines().any(|it| it == format!("tunnel_balancer_{line}")), "{line}\n{metrics}");
    }
}

async fn prometheus_accepts_the_metrics(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start(yaml(TOKEN, Service::of([&a, &b]).checked_often())).await;
    app.get("/").await;
    until(&app, |report| report["services"][0]["servers"][0]["state"] == "healthy").await;
    let metrics = app.send(with_token("/__balancer/metrics")).await;
    assert_eq!(metrics.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = with_token("/__balancer/metrics").header("Accept", "application/openmetrics-text;version=1.0.0");
    let open = app.send(open).await;
    assert!(open.header("Content-Type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(open.text().ends_with("# EOF\n"));
    check_with(Command::new("promtool").args(["check", "metrics"]), &metrics.text());
}

/// Runs a program with this input, if it is installed.
fn check_with(program: &mut Command, input: &str) {
    let started = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        eprintln!("skipped: promtool is not installed (Debian package `prometheus`)");
        return;
    };
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && text.is_empty(), "{}", String::from_utf8_lossy(&text));
}

async fn another_path_can_be_configured(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start(yaml("path: /ops/status, public: true", Service::of([&a]))).await;
    assert_eq!(json_of(&app.get("/ops/status/status.json").await)["kind"], "public");
    assert_eq!(app.get("/__balancer/status.json").await.served_by(), "a");
    assert_eq!(app.get("/ops/statuses").await.served_by(), "a");
}
