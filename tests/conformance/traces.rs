//! Traces: what `X-Balancer-Trace` shows of one request of each kind, and which clients get it.

use serde_json::Value;
use tunnel_balancer_tests::{Action, App, Bench, CONTROL_TOKEN, Gate, Reply, Request, Response, Service};

cases![
    a_served_request_names_its_candidates,
    a_retried_request_names_the_reason,
    a_request_that_may_not_run_twice_is_not_retried,
    a_held_request_shows_how_long_it_waited,
    a_hedged_request_shows_both_attempts,
    refused_requests_name_the_reason,
    a_request_of_a_client_with_affinity_is_explained,
    without_the_token_there_is_no_trace,
    tokens_never_reach_a_server_and_headers_of_servers_are_removed,
];

/// Returns the trace of a response.
pub(crate) fn trace(response: &Response) -> Value {
    let header = response.header("X-Balancer-Trace").unwrap_or_else(|| panic!("no trace: {response:?}"));
    serde_json::from_str(header).expect("JSON")
}

/// Returns the steps of a trace without candidates: `attempt 1 a`, `result 1 a connect_failed`.
pub(crate) fn steps(trace: &Value) -> Vec<String> {
    let text = |step: &Value| {
        let fields = ["step", "attempt", "server", "outcome", "status", "reason", "hedge"];
        let words = fields.iter().filter_map(|name| match &step[*name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) => Some((*name).to_owned()),
            other => Some(other.to_string()),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let steps = trace["steps"].as_array().expect("steps").iter();
    steps.filter(|step| step["step"] != "select").map(text).collect()
}

/// Returns the standings of the first or a later selection: `a selectable`.
pub(crate) fn standings(trace: &Value, selection: usize) -> Vec<String> {
    let steps = trace["steps"].as_array().expect("steps").iter();
    let selection = steps.filter(|step| step["step"] == "select").nth(selection).expect("a selection");
    let text = |it: &Value| format!("{} {}", it["server"].as_str().unwrap(), it["standing"].as_str().unwrap());
    selection["servers"].as_array().expect("servers").iter().map(text).collect()
}

/// Adds the token to a request.
pub(crate) fn traced(request: Request) -> Request {
    request.header("X-Balancer-Trace", CONTROL_TOKEN.1)
}

async fn send(app: &App, request: Request) -> (Response, Value) {
    let response = app.send(traced(request)).await;
    let trace = trace(&response);
    (response, trace)
}

async fn a_served_request_names_its_candidates(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start_with_control_token(Service::of([&a, &b])).await;
    let (response, trace) = send(&app, Request::get("/x")).await;
    assert_eq!((response.status, response.served_by()), (200, "a"));
    assert_eq!((&trace["version"], &trace["service"]), (&1.into(), &"app.test".into()));
    assert_eq!((&trace["result"], &trace["server"]), (&"served".into(), &"a".into()));
    assert_eq!(standings(&trace, 0), ["a selectable", "b selectable"]);
    assert_eq!(steps(&trace), ["attempt 1 a", "result 1 a status 200", "stop responded"]);
    let timing = response.header("Server-Timing").expect("a Server-Timing");
    assert!(timing.starts_with("balancer;dur=") && timing.contains(", attempt-1;desc=\"a 200\";dur="), "{timing}");
}

async fn a_retried_request_names_the_reason(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start_with_control_token(Service::of([&a, &b])).await;
    a.respond(Reply::status(530));
    let (response, trace) = send(&app, Request::post("/", "order")).await;
    assert_eq!(response.served_by(), "b");
    let expected = ["attempt 1 a", "result 1 a status 530", "attempt 2 b", "result 2 b status 200", "stop responded"];
    assert_eq!(steps(&trace), expected);
    let failed = trace["steps"].as_array().unwrap().iter().find(|step| step["status"] == 530).expect("a result");
    assert_eq!((&failed["delivery"], &failed["retryable"]), (&"never".into(), &true.into()));
    let (_, later) = send(&app, Request::get("/")).await;
    let servers = &later["steps"][0]["servers"];
    assert_eq!((&servers[0]["standing"], &servers[0]["source"]), (&"ejected".into(), &"traffic".into()));
    assert!(servers[0]["ejected_for_ms"].as_u64().is_some_and(|rest| (1..=10_000).contains(&rest)), "{servers}");
}

async fn a_request_that_may_not_run_twice_is_not_retried(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start_with_control_token(Service::of([&a, &b])).await;
    a.respond(Reply::status(502));
    let (response, trace) = send(&app, Request::post("/", "order")).await;
    assert_eq!(response.status, 502);
    assert_eq!(steps(&trace), ["attempt 1 a", "result 1 a status 502", "stop not_idempotent"]);
    assert_eq!(b.hits(), 0);
}

async fn a_held_request_shows_how_long_it_waited(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start_with_control_token(Service::of([&a]).with("retry: { hold: 1s }")).await;
    a.respond(Reply::status(530));
    let (response, trace) = send(&app, Request::get("/")).await;
    assert_eq!(response.status, 503);
    let waits: Vec<&Value> = trace["steps"].as_array().unwrap().iter().filter(|step| step["step"] == "wait").collect();
    assert!(!waits.is_empty() && waits.iter().all(|wait| wait["reason"] == "held"), "{trace}");
    let total: u64 = waits.iter().map(|wait| wait["ms"].as_u64().unwrap()).sum();
    assert!(total >= 500, "{trace}");
    assert_eq!((&trace["result"], &trace["reply"]), (&"local_reply".into(), &"unavailable".into()));
}

async fn a_hedged_request_shows_both_attempts(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let app = bench.start_with_control_token(Service::of([&a, &b]).checked()).await;
    for _ in 0..5 {
        assert_eq!(app.get("/").await.served_by(), "a");
    }
    a.outage(Action::Hang);
    let (response, trace) = send(&app, Request::get("/")).await;
    assert_eq!(response.served_by(), "b");
    let expected = ["attempt 1 a", "attempt 2 b hedge", "result 2 b status 200", "stop responded", "canceled 1 a"];
    assert_eq!(steps(&trace), expected);
}

async fn refused_requests_name_the_reason(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let services = vec![
        Service::of([&a, &b]).host("maintenance.test").with("maintenance: true"),
        Service::of([&a, &b]).host("primary.test").with("writes: primary_only"),
        Service::of([&a]).host("full.test").each_with("max_requests: 1"),
    ];
    let app = bench.start_with_control_token(services).await;
    let (response, trace) = send(&app, Request::get("/").host("maintenance.test")).await;
    assert_eq!((response.status, steps(&trace)), (503, vec!["refused maintenance".to_owned()]));

    a.respond(Reply::status(530));
    let (response, trace) = send(&app, Request::post("/", "x").host("primary.test")).await;
    assert_eq!(response.status, 503);
    assert_eq!(standings(&trace, 0), ["a selectable", "b primary_only"]);
    assert_eq!(steps(&trace).last().map(String::as_str), Some("no_server read_only"));

    let gate = Gate::closed();
    a.respond(Action::Held(gate.clone(), Box::new(Action::Echo)));
    let client = app.client();
    let waiting = tokio::spawn(async move { client.send(Request::get("/").host("full.test")).await });
    a.until("a request", |counts| counts.requests == 2).await;
    let (response, trace) = send(&app, Request::get("/").host("full.test")).await;
    assert_eq!((response.status, steps(&trace)), (503, vec!["no_server overloaded".to_owned()]));
    assert_eq!(standings(&trace, 0), ["a at_capacity"]);
    gate.open();
    assert_eq!(waiting.await.expect("no panic").status, 200);
}

async fn a_request_of_a_client_with_affinity_is_explained(bench: Bench) {
    let [a, b] = bench.servers(["a", "b"]).await;
    let service =
        Service::of([&a, &b]).with("policy: round_robin").with("affinity: { cookie: lb, key: \"${AFFINITY_KEY}\" }");
    let app = bench.start_with_control_token(service).await;
    let first = app.get("/").await;
    let cookie = first.header("Set-Cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    let (_, trace) = send(&app, Request::get("/").header("Cookie", &cookie)).await;
    assert_eq!(standings(&trace, 0), ["a affinity", "b affinity_elsewhere"]);
}

async fn without_the_token_there_is_no_trace(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start_with_control_token(Service::of([&a])).await;
    let wrong = ["", "1", "true", "a-token-of-the-conformance-suitf", "Bearer a-token-of-the-conformance-suite"];
    for token in wrong {
        let response = app.send(Request::get("/").header("X-Balancer-Trace", token)).await;
        assert_eq!(response.status, 200);
        assert_eq!((response.header("X-Balancer-Trace"), response.header("Server-Timing")), (None, None), "{token}");
    }
    let untokened = bench.start(Service::of([&a])).await;
    let response = untokened.send(traced(Request::get("/"))).await;
    assert_eq!((response.status, response.header("X-Balancer-Trace")), (200, None));
}

async fn tokens_never_reach_a_server_and_headers_of_servers_are_removed(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start_with_control_token(Service::of([&a])).await;
    let reply = Reply::status(200).header("X-Balancer-Trace", "{}").header("X-Balancer-Drill", "applied");
    a.respond(reply.header("Server-Timing", "db;dur=7"));
    let response = app.get("/").await;
    assert_eq!((response.header("X-Balancer-Trace"), response.header("X-Balancer-Drill")), (None, None));
    assert_eq!(response.header("Server-Timing"), Some("db;dur=7"));
    let (response, trace) = send(&app, Request::get("/").header("X-Balancer-Drill", "down,a,t=1,v1=0")).await;
    assert_eq!(trace["server"], "a");
    let timings: Vec<&str> = response.headers.every("Server-Timing").collect();
    let timings = timings.join(", ");
    assert!(timings.contains("db;dur=7") && timings.contains("balancer;dur="), "{timings}");
    for request in a.requests() {
        for (name, value) in &request.headers.0 {
            assert!(!name.to_ascii_lowercase().starts_with("x-balancer"), "{name}");
            assert!(!value.contains(CONTROL_TOKEN.1), "{name}");
        }
    }
}
