//! Control at run time in the Worker.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::proxy::Proxy;
use tunnel_balancer_tests::{Client, FaultyServer, Request, Response, Service, within};

use crate::{BOUND, KV_BOUND, yaml};

pub(crate) const PATH: &str = "/__balancer/control";
pub(crate) const TOKEN: &str = "a token of the suite";

pub(crate) fn deployment<'a>(name: &'a str, yaml: &str, bindings: &'a [&'a str]) -> Deployment<'a> {
    Deployment { secrets: json!({ "BALANCER_CONTROL_TOKEN": TOKEN }), ..Deployment::new(name, yaml, bindings) }
}

pub(crate) async fn send(client: &Client, request: Request, token: &str) -> (Response, Value) {
    let response = client.send(request.header("authorization", &format!("Bearer {token}"))).await;
    let json = serde_json::from_slice(&response.body).unwrap_or_default();
    (response, json)
}

pub(crate) async fn command(client: &Client, command: Value) -> Value {
    let request = Request::post(PATH, command.to_string()).header("content-type", "application/json");
    let (response, json) = send(client, request, TOKEN).await;
    assert_eq!(response.status, 200, "{}", response.text());
    json
}

#[tokio::test]
async fn a_change_takes_effect_in_every_isolate_within_the_bound() {
    let drain_and_return = &[("drain", "replica"), ("enable", "primary"), ("disable", "replica")][..];
    let cases =
        [("durable_object", "object", BOUND, drain_and_return), ("kv", "kv", KV_BOUND, &[("disable", "replica")])];
    for (sharing, binding, bound, changes) in cases {
        let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
        let yaml = yaml(sharing, "", vec![Service::of([&primary, &replica])]);
        let bindings = [binding];
        let workers = ["a", "b", "c"].map(|name| deployment(name, &yaml, &bindings));
        let miniflare = Miniflare::start(&Storage::new(), &workers).await;
        let clients = ["a", "b", "c"].map(|name| miniflare.client(name));
        for client in &clients {
            assert_eq!(client.get("/").await.served_by(), "primary");
        }
        for (action, served_by) in changes {
            command(&clients[0], json!({ "action": action, "service": HOST, "server": "primary" })).await;
            let changed = Instant::now();
            for client in &clients {
                while client.get("/").await.served_by() != *served_by {
                    assert!(changed.elapsed() < bound, "{sharing}, {action}: {}", miniflare.log().text());
                    sleep(Duration::from_millis(100)).await;
                }
            }
            println!("{sharing}: {action} is in effect in every isolate after {:?}", changed.elapsed());
        }
    }
}

#[tokio::test]
async fn a_change_survives_a_restart() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("durable_object", "", vec![Service::of([&primary, &replica])]);
    let (storage, workers) = (Storage::new(), [deployment("a", &yaml, &["object"])]);
    let miniflare = Miniflare::start(&storage, &workers).await;
    let disable = json!({ "action": "disable", "service": HOST, "server": "primary",
        "comment": "new disk" });
    command(&miniflare.client("a"), disable).await;
    drop(miniflare);

    let miniflare = Miniflare::start(&storage, &workers).await;
    let a = miniflare.client("a");
    let (_, status) = send(&a, Request::get(PATH), TOKEN).await;
    assert_eq!(status["overrides"][0]["comment"], "new disk", "{status}");
    let (_, history) = send(&a, Request::get(&format!("{PATH}/history")), TOKEN).await;
    let entry = &history["history"].as_array().expect("a list").iter().find(|it| it["event"] == "control_changed");
    assert_eq!(entry.expect("the change")["comment"], "new disk", "{history}");
    a.get("/").await;
    let enable = json!({ "action": "enable", "service": HOST, "server": "primary" });
    command(&a, enable).await;
    within("the effect of the change", async {
        while a.get("/").await.served_by() != "primary" {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ctl_controls_a_worker() {
    let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
    let yaml = yaml("durable_object", "", vec![Service::of([&primary, &replica])]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &["object"])]).await;
    let url = format!("http://{}", miniflare.client("a").addr());
    let proxy = Proxy::find().unwrap_or_else(|error| panic!("{error}"));
    let ctl = async |token: &str, arguments: &[&str]| {
        let mut command = proxy.ctl(&url, token);
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(output.stdout), text(output.stderr), output.status.code())
    };
    let ok = |stdout: &str| (stdout.to_owned(), String::new(), Some(0));
    let drain = ["drain", HOST, "primary", "--for", "30m", "--comment", "new disk"];
    assert_eq!(ctl(TOKEN, &drain).await, ok("drain primary of app.test, for 30m\n"));
    let (status, errors, code) = ctl(TOKEN, &["status"]).await;
    assert_eq!((errors.as_str(), code), ("", Some(0)));
    let row = status.lines().find(|row| row.contains("primary")).expect("a row for each server");
    assert!(row.contains("draining") && row.contains("m left (alice@") && row.ends_with(": new disk)"), "{status}");
    let (history, _, _) = ctl(TOKEN, &["history"]).await;
    assert!(history.contains("control_changed  drain for 30m (alice@"), "{history}");
    let (json, _, _) = ctl(TOKEN, &["--json", "status"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["overrides"][0]["comment"], "new disk", "{json}");
    let (stdout, errors, code) = ctl("a wrong token of this suite", &["status"]).await;
    assert_eq!((stdout.as_str(), code), ("", Some(1)));
    assert!(errors.starts_with("error: the token is wrong\n  hint: "), "{errors}");
}

#[tokio::test]
async fn wrong_tokens_are_limited_and_without_one_the_path_is_unknown() {
    let primary = FaultyServer::start("primary").await;
    let yaml = yaml("kv", "", vec![Service::of([&primary])]);
    let workers = [deployment("a", &yaml, &["kv"]), Deployment::new("b", yaml.as_str(), &["kv"])];
    let miniflare = Miniflare::start(&Storage::new(), &workers).await;
    let client = miniflare.client("a");
    let mut limited = 0;
    for _ in 0..1_000 {
        let (response, _) = send(&client, Request::get(PATH), "a wrong token of this suite").await;
        assert!([401, 429].contains(&response.status), "{}", response.text());
        limited += usize::from(response.status == 429);
    }
    assert!(limited >= 900, "{limited} of 1,000 limited");
    let logged = miniflare.log().text().matches(r#""reason":"unauthorized""#).count();
    assert!((1..=100).contains(&logged), "{logged} lines in the log");
    let (response, status) = send(&client, Request::get(PATH), TOKEN).await;
    assert_eq!(response.status, 200, "the right token is never refused: {status}");
    let maintenance = json!({ "action": "maintenance", "on": true, "service": HOST });
    command(&client, maintenance).await;
    assert_eq!(client.get("/").await.status, 503);
    assert_eq!(send(&miniflare.client("b"), Request::get(PATH), TOKEN).await.0.status, 404);
    assert_eq!(primary.hits(), 0);
}

#[tokio::test]
async fn a_change_that_cannot_be_stored_is_refused() {
    let primary = FaultyServer::start("primary").await;
    let yaml = yaml("isolate", "", vec![Service::of([&primary])]);
    let miniflare = Miniflare::start(&Storage::new(), &[deployment("a", &yaml, &[])]).await;
    let (response, json) = send(&miniflare.client("a"), Request::get(PATH), TOKEN).await;
    assert_eq!((response.status, &json["error"]), (409, &json!("no_storage")));
}
