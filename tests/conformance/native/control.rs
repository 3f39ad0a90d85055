//! Control at run time: the admin listener, and its effect on traffic.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tunnel_balancer_tests::proxy::Process;
use tunnel_balancer_tests::{Bench, Client, Reply, Request, Response, Service, Traffic};

cases![
    not on Worker: "a Worker has no admin listener, and stores changes in the monitor";
    a_drained_server_keeps_its_clients,
    a_disabled_server_gets_no_further_requests,
    a_change_ends_by_its_duration,
    maintenance_is_announced_with_its_end,
    a_forced_server_gets_all_requests_although_it_fails,
    failback_is_commanded_for_one_service,
    no_request_fails_during_changes,
    changes_survive_a_reload,
    wrong_tokens_are_limited,
    requests_of_web_pages_are_refused,
    other_machines_need_a_token,
    idle_connections_do_not_lock_operators_out,
];

const PATH: &str = "/__balancer/control";

/// A client of the control API.
pub(super) struct Operator {
    client: Client,
    token: Option<&'static str>,
}

impl Operator {
    /// Returns the operator of a proxy with `--admin`.
    pub(super) async fn of(proxy: &Process) -> Self {
        let listening = proxy.logged("listening", 2).await;
        let admin = listening.iter().find(|it| it["source"] == "--admin").expect("an admin listener");
        let address = admin["address"].as_str().and_then(|address| address.parse().ok());
        Self { client: Client::new(address.expect("an address")), token: None }
    }

    /// Returns a client of the admin listener.
    pub(super) fn client(&self) -> Client {
        self.client
    }

    fn request(&self, request: Request) -> Request {
        match self.token {
            Some(token) => request.header("Authorization", &format!("Bearer {token}")),
            None => request.host("127.0.0.1"),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let response = self.client.send(self.request(Request::get(&format!("{PATH}{path}")))).await;
        assert_eq!(response.status, 200, "{}", response.text());
        parsed(&response)
    }

    async fn post(&self, command: Value) -> Response {
        let request = Request::post(PATH, command.to_string()).header("Content-Type", "application/json");
        self.client.send(self.request(request)).await
    }

    /// Carries out a command for the server of a service.
    pub(super) async fn run(&self, action: &str, server: &str, more: Value) -> Value {
        let mut command = json!({ "action": action, "service": "app.test" });
        let object = command.as_object_mut().expect("an object");
        if !server.is_empty() {
            object.insert("server".to_owned(), server.into());
        }
        object.extend(more.as_object().cloned().unwrap_or_default());
        let response = self.post(command).await;
        assert_eq!(response.status, 200, "{}", response.text());
        parsed(&response)
    }

    pub(super) async fn overrides(&self) -> Vec<Value> {
        self.get("").await["overrides"].as_array().cloned().unwrap_or_default()
    }
}

fn parsed(response: &Response) -> Value {
    serde_json::from_str(&response.text()).expect("JSON")
}

pub(super) const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

async fn a_drained_server_keeps_its_clients(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let sticky = Service::of([&a, &b]).with("affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }");
    let proxy = bench.serve(sticky, &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    let first = proxy.get("/").await;
    assert_eq!(first.served_by(), "a");
    let cookie = first.header("Set-Cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    let own = Request::get("/").header("Cookie", &cookie);
    operator.run("drain", "a", json!({})).await;
    assert_eq!(proxy.get("/").await.served_by(), "b", "a new client");
    assert_eq!(proxy.send(own.clone()).await.served_by(), "a", "a client of the drained server");
    operator.run("disable", "a", json!({})).await;
    assert_eq!(proxy.send(own).await.served_by(), "b");
    operator.run("enable", "a", json!({})).await;
    assert_eq!(proxy.get("/").await.served_by(), "a");
}

async fn a_disabled_server_gets_no_further_requests(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]).checked_often(), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    assert_eq!(proxy.get("/").await.served_by(), "a");
    let (hits, before) = (a.hits(), Instant::now());
    operator.run("disable", "a", json!({ "comment": "new disk", "origin": "alice@laptop" })).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.served_by(), "b");
    }
    assert!(before.elapsed() < Duration::from_secs(5) && a.hits() == hits);
    let (probes, others) = (a.counts().probes, b.counts().probes);
    b.until("three more probes", |counts| counts.probes >= others + 3).await;
    assert!(a.counts().probes <= probes + 1, "one may have been on its way");
    let logged = &proxy.logged("control_changed", 1).await[0];
    let fields = ["service", "server", "detail", "source"].map(|name| logged[name].as_str().unwrap_or_default());
    assert_eq!(fields, ["app.test", "a", "disable: new disk", "alice@laptop"]);
    assert_eq!(proxy.events("server_removed").len(), 1, "its state ends");
    let refused = operator.post(json!({ "action": "disable", "service": "app.test", "server": "b" })).await;
    assert_eq!((refused.status, &parsed(&refused)["error"]), (409, &json!("no_server_left")));
    assert_eq!(proxy.get("/").await.served_by(), "b");
}

async fn a_change_ends_by_its_duration(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    operator.run("drain", "a", json!({ "duration_ms": 2000 })).await;
    let mut traffic = Traffic::start(&proxy);
    traffic.served_by("b", 5).await;
    traffic.served_by("a", 5).await;
    let expired = &proxy.logged("control_expired", 1).await[0];
    assert_eq!((&expired["server"], &expired["detail"]), (&json!("a"), &json!("drain")));
    assert_eq!(operator.overrides().await, Vec::<Value>::new());
    traffic.ends_without_failure();
}

async fn maintenance_is_announced_with_its_end(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let page = Service::of([&a]).with("error_page: <p>{{message}}</p>");
    let proxy = bench.serve(page, &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    operator.run("maintenance", "", json!({ "on": true, "duration_ms": 600_000 })).await;
    let response = proxy.send(Request::get("/").header("Accept", "text/html")).await;
    assert_eq!((response.status, response.text().starts_with("<p>This service is under maintenance")), (503, true));
    let wait: u64 = response.header("Retry-After").and_then(|value| value.parse().ok()).expect("seconds");
    assert!((590..=600).contains(&wait), "{wait}");
    operator.run("maintenance", "", json!({ "on": true })).await;
    assert_eq!(proxy.get("/").await.header("Retry-After"), Some("300"), "its end is not known");
    operator.run("maintenance", "", json!({ "on": false })).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(a.hits(), 1);
}

async fn a_forced_server_gets_all_requests_although_it_fails(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]).checked_often(), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    b.outage(Reply::status(502));
    proxy.logged("server_unhealthy", 1).await;
    operator.run("force", "b", json!({})).await;
    for _ in 0..5 {
        assert_ne!(proxy.get("/").await.status, 200);
    }
    assert_eq!((a.hits(), b.hits()), (0, 5));
    let before = a.counts().probes;
    a.until("further probes", |counts| counts.probes > before + 1).await;
    b.recover();
    proxy.logged("server_healthy", 1).await;
    assert_eq!(proxy.get("/").await.served_by(), "b");
    operator.run("clear", "", json!({})).await;
    assert_eq!(proxy.get("/").await.served_by(), "a");
}

async fn failback_is_commanded_for_one_service(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let service =
        |host: &str| Service::of([&a, &b]).host(host).with("failback: manual").with("ejection: { base_time: 1s }");
    let proxy = bench.serve(vec![service("app.test"), service("other.test")], &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    let get = |host: &str| proxy.send(Request::get("/").host(host));
    a.respond(Reply::status(530));
    for host in ["app.test", "other.test"] {
        assert_eq!(get(host).await.served_by(), "b");
    }
    a.recover();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for host in ["app.test", "other.test"] {
        assert_eq!(get(host).await.served_by(), "a", "{host}: the trial after the ejection");
        assert_eq!(get(host).await.served_by(), "b", "{host}: held back");
    }
    operator.run("failback", "", json!({})).await;
    for (host, expected) in [("app.test", "a"), ("other.test", "b")] {
        assert_eq!(get(host).await.served_by(), expected, "{host}");
    }
}

async fn no_request_fails_during_changes(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]).checked(), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    let mut traffic = Traffic::start(&proxy);
    for nth in 0..20 {
        let (action, expected) = match nth % 4 {
            0 => ("disable", "b"),
            1 => ("enable", "a"),
            2 => ("drain", "b"),
            _ => ("clear", "a"),
        };
        operator.run(action, "a", json!({})).await;
        traffic.served_by(expected, 5).await;
    }
    traffic.ends_without_failure();
}

async fn changes_survive_a_reload(bench: Bench) {
    let [a, b, c] = bench.servers(["a", "b", "c"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    operator.run("drain", "a", json!({})).await;
    proxy.edit(Service::of([&a, &c, &b]));
    proxy.logged("config_loaded", 2).await;
    assert_eq!(proxy.get("/").await.served_by(), "c");
    proxy.edit(Service::of([&b]));
    proxy.logged("config_loaded", 3).await;
    assert_eq!(proxy.get("/").await.served_by(), "b");
    assert_eq!(operator.overrides().await[0]["has_effect"], false, "the server is gone");
    let bad = "services: { app.test: { servers: [a.test], polcy: x } }";
    proxy.edit(bad);
    proxy.logged("config_rejected", 1).await;
    operator.run("maintenance", "", json!({ "on": true })).await;
    let response = proxy.get("/").await;
    assert_eq!((response.status, response.header("X-Tunnel-Balancer-Config")), (503, Some("fallback")));
}

const TOKEN: &str = "the token of the operator";

async fn wrong_tokens_are_limited(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve_with_env(Service::of([&a, &b]), &ADMIN, &[("BALANCER_CONTROL_TOKEN", TOKEN)]).await;
    let operator = Operator { token: Some(TOKEN), ..Operator::of(&proxy).await };
    let wrong = Operator { token: Some("the token of an attacker"), ..Operator::of(&proxy).await };
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    let drain = json!({ "action": "drain", "service": "app.test", "server": "a" }).to_string();
    for _ in 0..1_000 {
        let request = wrong.request(Request::post(PATH, drain.clone()).header("Content-Type", "application/json"));
        let response = operator.client.send(request).await;
        assert_eq!(response.status == 429, response.header("Retry-After").is_some());
        *statuses.entry(response.status).or_default() += 1;
    }
    assert!(statuses.len() == 2 && statuses[&401] < 30, "{statuses:?}");
    assert_eq!(operator.overrides().await, Vec::<Value>::new(), "the operator is not locked out");
    let missing = operator.client.send(Request::get(PATH)).await;
    assert!([401, 429].contains(&missing.status));
    let rejected = proxy.logged("connection_rejected", 1).await;
    assert!(rejected.len() < 20 && rejected[0]["reason"] == "unauthorized", "{rejected:?}");
    assert!(!proxy.log().text().contains("attacker") && !proxy.log().text().contains(TOKEN));
}

async fn requests_of_web_pages_are_refused(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    let drain = json!({ "action": "drain", "service": "app.test", "server": "a" }).to_string();
    let post = || Request::post(PATH, drain.clone()).host("localhost");
    let json = || post().header("Content-Type", "application/json");
    let table = [
        (post().header("Content-Type", "text/plain"), 415),
        (json().header("Origin", "https://evil.example"), 403),
        (json().host("evil.example"), 403),
        (Request::get(PATH).host("evil.example"), 403),
        (Request::new("OPTIONS", PATH).host("localhost"), 405),
        (Request::get("/other").host("localhost"), 404),
        (Request::post(PATH, vec![b' '; 100_000]).host("localhost").header("Content-Type", "application/json"), 400),
    ];
    for (request, status) in table {
        let shown = request.to_string();
        assert_eq!(operator.client.send(request).await.status, status, "{shown}");
    }
    assert_eq!(operator.overrides().await, Vec::<Value>::new());
    assert_eq!(proxy.get(PATH).await.served_by(), "a", "the public listener has no control API");
}

async fn other_machines_need_a_token(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let error = bench.try_serve(Service::of([&a]), &["--admin", "0.0.0.0:0"]).await.err().expect("no token");
    assert!(error.errors.contains("--admin 0.0.0.0:0 needs a token"), "{}", error.errors);
    let token = [("BALANCER_CONTROL_TOKEN", TOKEN)];
    let proxy = bench.serve_with_env(Service::of([&a]), &["--admin", "0.0.0.0:0"], &token).await;
    proxy.logged("listening", 2).await;
}

async fn idle_connections_do_not_lock_operators_out(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let proxy = bench.serve(Service::of([&a, &b]), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(operator.client.from([127, 0, 0, 2]).connect().await);
    }
    let before = Instant::now();
    operator.run("drain", "a", json!({})).await;
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}
