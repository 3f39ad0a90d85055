//! The status endpoint of the Worker with stored history.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::{Client, FaultyServer, Reply, Request, Service, within};

use crate::yaml;

const TOKEN: &str = "the token of the status page";
const CONTROL: &str = "the token of operators";
const REPORT: &str = "/__balancer/status.json";
const DETAILS: &str = "/__balancer/status.json?service=app.test";

fn deployment<'a>(name: &'a str, yaml: &'a str, bindings: &'a [&'a str]) -> Deployment<'a> {
    let secrets = json!({ "BALANCER_STATUS_TOKEN": TOKEN, "BALANCER_CONTROL_TOKEN": CONTROL });
    Deployment { secrets, ..Deployment::new(name, yaml, bindings) }
}

fn configuration(sharing: &str, servers: &[FaultyServer; 2]) -> String {
    let status = "status: { token: \"${BALANCER_STATUS_TOKEN}\", public: true }\n";
    yaml(sharing, status, vec![Service::of(servers).checked_often().with("title: App")])
}

async fn get(client: &Client, path: &str, token: Option<&str>) -> Value {
    let request = Request::get(path);
    let request = match token {
        Some(token) => request.header("Authorization", &format!("Bearer {token}")),
        None => request,
    };
    let response = client.send(request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).expect("JSON")
}

/// Requests a report until it is as expected.
async fn until(client: &Client, path: &str, token: Option<&str>, is_expected: impl Fn(&Value) -> bool) -> Value {
    within(path, async {
        loop {
            let report = get(client, path, token).await;
            if is_expected(&report) {
                return report;
            }
            sleep(Duration::from_millis(250)).await;
        }
    })
    .await
}

#[tokio::test]
async fn the_history_of_the_object_is_shown_in_every_isolate() {
    let all = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = configuration("durable_object", &all);
    let workers = ["a", "b"].map(|name| deployment(name, &yaml, &["object"]));
    let miniflare = Miniflare::start(&Storage::new(), &workers).await;
    let (a, b) = (miniflare.client("a"), miniflare.client("b"));
    a.get("/").await;
    until(&a, REPORT, Some(TOKEN), |report| report["services"][0]["servers"][0]["state"] == "healthy").await;
    all[0].outage(Reply::status(530));
    // The isolate has no traffic: it shows what the object knows.
    let out = until(&b, REPORT, Some(TOKEN), |report| report["services"][0]["state"] == "degraded").await;
    assert_eq!(out["services"][0]["serving"], json!(["replica"]));
    assert_eq!((&out["sharing"]["mode"], &out["counts_of"]), (&json!("durable_object"), &json!("isolate")));
    assert!(out["sharing"]["age_ms"].is_u64() && out["sharing"]["error"].is_null(), "{out}");
    // The view of an isolate probes, too, so it may know of the outage before the object.
    let is_outage = |entry: &Value| entry["event"] == "server_unhealthy" && entry["server"] == "primary";
    let has_outage =
        |report: &Value| report["services"][0]["history"].as_array().is_some_and(|it| it.iter().any(is_outage));
    let details = until(&b, DETAILS, Some(TOKEN), has_outage).await;
    assert_eq!(details["services"][0]["incidents"][0]["kind"], "degraded");
    assert_eq!(details["services"][0]["days"].as_array().map(Vec::len), Some(30));
    assert!(details["history_since"].is_u64());
    // The public form is kept for some seconds.
    let public = until(&b, REPORT, None, |report| report["incidents"][0]["title"] == "App").await;
    assert!(!public.to_string().contains("primary") && !public.to_string().contains("app.test"), "{public}");
}

#[tokio::test]
async fn the_report_is_made_although_the_object_does_not_respond() {
    let all = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = configuration("durable_object", &all);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["hung object"])]).await;
    let client = miniflare.client("a");
    let report = get(&client, DETAILS, Some(TOKEN)).await;
    assert_eq!(report["services"][0]["service"], "app.test");
    assert!(report["sharing"]["error"].is_string() && report["history_since"].is_null(), "{report}");
}

#[tokio::test]
async fn changes_are_possible_only_where_they_are_stored() {
    let all = FaultyServer::start_all(["primary", "replica"]).await;
    let (stored, isolated) = (configuration("kv", &all), configuration("isolate", &all));
    let workers = [deployment("stored", &stored, &["kv"]), deployment("isolated", &isolated, &[])];
    let miniflare = Miniflare::start(&Storage::new(), &workers).await;
    for (name, token, expected) in
        [("stored", CONTROL, true), ("stored", TOKEN, false), ("isolated", CONTROL, false), ("isolated", TOKEN, false)]
    {
        assert_eq!(get(&miniflare.client(name), REPORT, Some(token)).await["control"], expected, "{name}");
    }
}

#[tokio::test]
async fn the_page_sends_commands_below_another_path() {
    let all = FaultyServer::start_all(["primary", "replica"]).await;
    let status = "status: { path: /ops, token: \"${BALANCER_STATUS_TOKEN}\" }\n";
    let yaml = yaml("durable_object", status, vec![Service::of(&all).checked_often()]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["object"])]).await;
    let client = miniflare.client("a");
    let drain = json!({ "action": "drain", "service": "app.test", "server": "primary" }).to_string();
    let post = |origin: &str| {
        Request::post("/ops/control", drain.clone())
            .header("Authorization", &format!("Bearer {CONTROL}"))
            .header("Content-Type", "application/json")
            .header("Origin", origin)
    };
    assert_eq!(client.send(post("https://evil.example")).await.status, 403);
    let changed = client.send(post("http://app.test")).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let drained = |report: &Value| report["services"][0]["servers"][0]["skipped"] == "draining";
    let report = until(&client, "/ops/status.json", Some(CONTROL), drained).await;
    assert_eq!((&report["overrides"][0]["action"], &report["control"]), (&json!("drain"), &json!(true)));
}

#[tokio::test]
async fn with_control_alone_no_path_below_the_prefix_reaches_a_server() {
    let all = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("kv", "", vec![Service::of(&all)]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["kv"])]).await;
    let client = miniflare.client("a");
    for path in ["/__balancer", REPORT, "/__balancer/other"] {
        let response = client.get(path).await;
        assert!(response.status == 404 && response.header("X-Served-By").is_none(), "{path}: {}", response.text());
    }
    assert_eq!(client.get("/__balancers").await.served_by(), "primary");
    assert_eq!(all[0].hits(), 1);
}
