//! A monitor that writes to Workers KV, through a small copy of Cloudflare's API.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tunnel_balancer_tests::proxy::API_TOKEN;
use tunnel_balancer_tests::{Action, Bench, Service, within};

use super::monitor::Monitor;

cases![
    not on Worker: "a monitor writes for it";
    changes_are_written_and_other_contents_stay,
    a_run_at_a_time_writes_only_changes,
    a_run_at_a_time_fails_if_the_token_is_refused,
    a_used_up_budget_is_respected,
];

/// The ids of an account and a namespace.
const NAMESPACE: &str = "0123456789abcdef0123456789abcdef/fedcba9876543210fedcba9876543210";

const PATH: &str = "/accounts/0123456789abcdef0123456789abcdef/storage/kv/namespaces/\
                    fedcba9876543210fedcba9876543210/values/health";

/// The value of one key, and the number of its writes.
#[derive(Clone, Debug, Default)]
struct Stored {
    value: Option<Bytes>,
    writes: usize,
}

struct Api {
    address: SocketAddr,
    stored: Arc<watch::Sender<Stored>>,
}

impl Api {
    async fn start(document: Option<Value>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let value = document.map(|document| document.to_string().into());
        let stored = Arc::new(watch::Sender::new(Stored { value, writes: 0 }));
        let api = Self { address, stored: Arc::clone(&stored) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stored = Arc::clone(&stored);
                let respond = service_fn(move |request| {
                    let stored = Arc::clone(&stored);
                    async move { Ok::<_, Infallible>(respond(&stored, request).await) }
                });
                let http1 = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http1.serve_connection(TokioIo::new(stream), respond));
            }
        });
        api
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn arguments(&self) -> [String; 4] {
        ["--kv", NAMESPACE, "--cloudflare-api", &self.url()].map(str::to_owned)
    }

    fn writes(&self) -> usize {
        self.stored.borrow().writes
    }

    /// Waits for a document in which the server has this health. Returns it.
    async fn until(&self, server: &str, health: &str) -> Value {
        let mut stored = self.stored.subscribe();
        let wait = stored.wait_for(|stored| document(stored).is_some_and(|it| health_in(&it, server) == health));
        let stored = within("a document", wait).await.expect("it is open").clone();
        document(&stored).expect("JSON")
    }
}

fn document(stored: &Stored) -> Option<Value> {
    serde_json::from_slice(stored.value.as_ref()?).ok()
}

fn health_in(document: &Value, server: &str) -> String {
    let mut servers = document["services"]["app.test"]["servers"].as_array().into_iter().flatten();
    let health = servers.find(|it| it["server"] == server).and_then(|it| it["health"].as_str());
    health.unwrap_or("unknown").to_owned()
}

async fn respond(stored: &watch::Sender<Stored>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let reply = |status: u16, body: Value| {
        Response::builder().status(status).body(Full::from(body.to_string())).expect("valid headers")
    };
    let error =
        |code: u32, message: &str| json!({ "success": false, "errors": [{ "code": code, "message": message }] });
    assert_eq!(request.uri().path(), PATH);
    if request.headers().get("authorization").is_none_or(|value| *value != format!("Bearer {}", API_TOKEN.1)) {
        return reply(403, error(10000, "Authentication error"));
    }
    match request.method().as_str() {
        "GET" => match &stored.borrow().value {
            Some(value) => Response::new(Full::from(value.clone())),
            None => reply(404, error(10009, "get: 'key not found'")),
        },
        "PUT" => {
            let value = request.into_body().collect().await.expect("a whole document").to_bytes();
            stored.send_modify(|stored| *stored = Stored { value: Some(value), writes: stored.writes + 1 });
            reply(200, json!({ "success": true, "errors": [], "messages": [], "result": {} }))
        }
        other => panic!("unexpected method {other}"),
    }
}

async fn changes_are_written_and_other_contents_stay(bench: Bench) {
    let [primary, secondary] = bench.servers(["primary", "secondary"]).await;
    let other = json!({ "version": 1, "servers": [{ "server": "x", "health": "unhealthy", "probed_at": 1 }] });
    let budget = json!({ "day": today(), "writes": 20, "last_write": 1 });
    let services = json!({ "other.test": other });
    let document = json!({ "written_at": 1, "services": services, "another_key": { "a": 1 }, "kv_budget": budget,
        "control": { "overrides": [], "history": [{ "at": 1, "event": "control_changed", "service": "a.test" }] } });
    let api = Api::start(Some(document)).await;
    let service = Service::of([&primary, &secondary]).checked_often();
    let monitor = Monitor::start(&bench, service, &api.arguments());
    api.until("secondary", "healthy").await;
    primary.outage(Action::Reset);
    let document = api.until("primary", "unhealthy").await;
    assert_eq!(document["another_key"], json!({ "a": 1 }));
    assert_eq!(document["control"]["history"][0]["at"], 1, "what operators changed stays: {document}");
    let other = &document["services"]["other.test"]["servers"][0];
    assert_eq!((&other["server"], &other["health"]), (&json!("x"), &json!("unhealthy")));
    let written = api.writes();
    assert_eq!(document["kv_budget"]["writes"], 20 + written, "the budget is that of all that write");
    // Several probes, which change nothing.
    let probes = primary.counts().probes;
    primary.until("probes", |counts| counts.probes >= probes + 5).await;
    assert_eq!(api.writes(), written);
    assert!(written <= 4, "at most one for each server's first result, and one for the outage: {written}");
    monitor.terminate();
    assert_eq!(monitor.output().await.status.code(), Some(0));
}

async fn a_run_at_a_time_writes_only_changes(bench: Bench) {
    let [primary, secondary] = bench.servers(["primary", "secondary"]).await;
    let api = Api::start(None).await;
    let run = async || {
        let service = Service::of([&primary, &secondary]).checked();
        let arguments = [&api.arguments()[..], &["--once".to_owned()]].concat();
        let output = Monitor::start(&bench, service, &arguments).output().await;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    };
    run().await;
    let document = api.until("primary", "healthy").await;
    assert_eq!((api.writes(), health_in(&document, "secondary")), (1, "healthy".to_owned()));
    run().await;
    assert_eq!(api.writes(), 1, "nothing changed");
    primary.outage(Action::Reset);
    run().await;
    let document = api.until("primary", "unhealthy").await;
    assert_eq!((api.writes(), health_in(&document, "secondary")), (2, "healthy".to_owned()));
}

async fn a_used_up_budget_is_respected(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    // A write in the next seconds would be too early, on this day and the next one.
    let now = now_ms();
    let budget = json!({ "day": now / DAY_MS + 1, "writes": 100, "last_write": now });
    let api = Api::start(Some(json!({ "kv_budget": budget }))).await;
    let arguments = [&api.arguments()[..], &["--once".to_owned()]].concat();
    let output = Monitor::start(&bench, Service::of([&primary]).checked(), &arguments).output().await;
    assert_eq!((output.status.code(), api.writes()), (Some(1), 0));
}

const DAY_MS: u64 = 86_400_000;

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("in range")
}

fn today() -> u64 {
    now_ms() / DAY_MS
}

async fn a_run_at_a_time_fails_if_the_token_is_refused(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let api = Api::start(None).await;
    let arguments = [&api.arguments()[..], &["--once".to_owned()]].concat();
    let service = Service::of([&primary]).checked();
    let output = Monitor::start_with(&bench, service, &arguments, &[(API_TOKEN.0, "another")]).output().await;
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stdout).expect("a log");
    assert!(log.contains("status 403: Authentication error (10000)"), "{log}");
    assert!(!log.contains("another"), "{log}");
    assert_eq!((primary.counts().probes, api.writes()), (0, 0));
}
