//! Local replies: their content type, their request id, and no information about servers.

use serde_json::Value;
use tunnel_balancer_tests::{Action, App, Bench, FaultyServer, Gate, Reply, Request, Response, Service};

cases![
    accept_selects_the_content_type,
    all_content_types_have_the_same_content,
    placeholders_of_the_error_page_are_replaced,
    request_ids_are_unique_and_logged,
    replies_to_head_have_no_body,
    maintenance_has_the_page_of_the_service,
    t25_replies_do_not_reveal_servers,
    clients_are_redirected_to_the_fallback_if_no_server_responds,
];

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

async fn accept_selects_the_content_type(bench: Bench) {
    let (app, _down) = unavailable(&bench, "").await;
    let (text, json, html) = ("text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8");
    for (accept, expected) in [
        ("", text),
        ("*/*", text),
        (BROWSER, html),
        ("application/json", json),
        ("application/json, text/plain, */*", json),
        ("text/html;q=0.1, application/json;q=0.2", json),
        ("image/png", text),
        (";;;,/,text/", text),
    ] {
        let response = app.send(Request::get("/").header("Accept", accept)).await;
        assert_eq!((response.status, response.header("Content-Type")), (503, Some(expected)), "{accept:?}");
    }
    assert_eq!(app.get("/").await.header("Content-Type"), Some(text), "without Accept");
}

async fn all_content_types_have_the_same_content(bench: Bench) {
    let (app, _down) = unavailable(&bench, "").await;
    for accept in ["text/plain", "application/json", "text/html"] {
        let response = app.send(Request::get("/").header("Accept", accept)).await;
        let seconds: u32 = response.header("Retry-After").expect("a Retry-After").parse().expect("whole seconds");
        assert!((1..=3600).contains(&seconds), "{response:?}");
        assert_eq!((response.served_by(), response.header("Cache-Control")), ("tunnel-balancer", Some("no-store")));
        let (id, body) = (id(&response), response.text());
        match accept {
            "application/json" => {
                let json: Value = serde_json::from_str(&body).expect("JSON");
                assert_eq!((&json["status"], &json["error"]), (&503.into(), &"unavailable".into()), "{json}");
                assert_eq!(json["request_id"], id.as_str(), "{json}");
                assert!(json["message"].as_str().is_some_and(|text| text.contains("No server responded")), "{json}");
            }
            "text/html" => {
                for part in ["<title>503 Service Unavailable</title>", "No server responded", &id] {
                    assert!(body.contains(part), "without {part}: {body}");
                }
                assert!(!body.contains("{{"), "{body}");
            }
            _ => assert!(body.starts_with("503 Service Unavailable: No server responded"), "{body}"),
        }
    }
}

async fn placeholders_of_the_error_page_are_replaced(bench: Bench) {
    let page = "error_page: \"<h1>{{status}} {{reason}}</h1><p>{{message}}</p><i>{{request_id}}</i>{{other}}\"";
    let (app, _down) = unavailable(&bench, page).await;
    let html = app.send(Request::get("/").header("Accept", BROWSER)).await;
    let id = id(&html);
    assert_eq!(
        html.text(),
        format!(
            "<h1>503 Service Unavailable</h1><p>No server responded. Please try again in a moment.</p>\
             <i>{id}</i>{{{{other}}}}"
        )
    );
    assert_eq!(html.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(!app.get("/").await.text().contains("<h1>"), "programs get no page");
    let unknown = app.send(Request::get("/").host("other.test").header("Accept", BROWSER)).await;
    assert!(unknown.status == 404 && !unknown.text().contains("<i>"), "an unknown host has no error page: {unknown:?}");
}

async fn request_ids_are_unique_and_logged(bench: Bench) {
    let (app, _down) = unavailable(&bench, "").await;
    let (first, second) = (id(&app.get("/").await), id(&app.get("/").await));
    assert_ne!(first, second);
    for id in [first, second] {
        app.log().until("the id in the log", |log| log.contains(&id)).await;
    }
}

async fn replies_to_head_have_no_body(bench: Bench) {
    let (app, _down) = unavailable(&bench, "").await;
    let mut kept = app.connect().await;
    for _ in 0..2 {
        let response = kept.send(&Request::new("HEAD", "/")).await.expect("a complete response");
        assert_eq!((response.status, response.body.len()), (503, 0));
    }
}

async fn maintenance_has_the_page_of_the_service(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let page = "error_page: \"<!doctype html>{{status}} {{message}}\"";
    let app = bench.start(Service::of([&a]).host("app.test").with("maintenance: true").with(page)).await;
    let response = app.send(Request::get("/").host("app.test").header("Accept", "text/html")).await;
    assert_eq!((response.status, response.header("Retry-After")), (503, Some("300")));
    assert_eq!(response.text(), "<!doctype html>503 This service is under maintenance. Please try again later.");
    let response = app.send(Request::post("/", "x").host("app.test").header("Accept", "application/json")).await;
    let json: Value = serde_json::from_str(&response.text()).expect("JSON");
    assert_eq!(json["error"], "maintenance");
    assert_eq!(a.requests().iter().filter(|request| request.method == "POST").count(), 0);
}

async fn t25_replies_do_not_reveal_servers(bench: Bench) {
    let [down, stuck, full] = bench.servers(["very-secret-down", "very-secret-stuck", "very-secret-full"]).await;
    let services = vec![
        Service::of([&down]),
        Service::of([&down, &full]).host("read.test").with("writes: primary_only"),
        Service::of([&stuck]).host("stuck.test").with("retry: { timeout: 1s }"),
        Service::of([&full]).host("full.test").each_with("max_requests: 1"),
    ];
    let app = bench.start(services).await;
    down.respond(Reply::status(530));
    stuck.respond(Action::Hang);
    let gate = Gate::closed();
    full.respond(Action::Held(gate.clone(), Box::default()));
    let requests = async {
        full.until("the request that fills it", |counts| counts.requests == 1).await;
        let mut replies = Vec::new();
        for accept in ["text/plain", "application/json", "text/html"] {
            for (status, request) in [
                (404, Request::get("/").host("other.test")),
                (508, Request::get("/").header("X-Tunnel-Balancer-Hop", "1")),
                (503, Request::get("/")),
                (503, Request::post("/", "order").host("read.test")),
                (503, Request::get("/").host("full.test")),
                (504, Request::get("/").host("stuck.test")),
            ] {
                let response = app.send(request.clone().header("Accept", accept)).await;
                assert_eq!(response.status, status, "{request:?}: {response:?}");
                assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with(accept)), "{response:?}");
                replies.push(format!("{:?} {}", response.headers, response.text()));
            }
        }
        gate.open();
        replies
    };
    let (filling, replies) = tokio::join!(app.send(Request::get("/").host("full.test")), requests);
    assert_eq!(filling.status, 200);
    for reply in replies {
        let ports = [&down, &stuck, &full].map(|server| server.addr().port().to_string());
        let secrets = ["127.0.0.1", "very-secret"].into_iter().chain(ports.iter().map(String::as_str));
        for secret in secrets {
            assert!(!reply.contains(secret), "contains {secret}: {reply}");
        }
    }
}

async fn clients_are_redirected_to_the_fallback_if_no_server_responds(bench: Bench) {
    let [down, stuck] = bench.servers(["down", "stuck"]).await;
    let url = "https://status.example.net/?from=app";
    let setting = format!("fallback: \"{url}\"");
    let services = vec![
        Service::of([&down]).with(&setting),
        Service::of([&stuck]).host("stuck.test").with(&setting).with("retry: { timeout: 1s }"),
    ];
    let app = bench.start(services).await;
    assert_eq!(app.get("/").await.status, 200);
    for status in [500, 503] {
        down.respond(Reply::status(status));
        let response = app.get("/").await;
        assert_eq!((response.status, response.served_by()), (status, "down"), "the response of the application");
    }
    down.respond(Reply::status(530));
    for request in [Request::get("/x"), Request::post("/x", "order"), Request::get("/").header("Accept", BROWSER)] {
        let response = app.send(request).await;
        assert_eq!((response.status, response.header("Location")), (302, Some(url)), "{response:?}");
        assert_eq!((response.served_by(), response.header("Cache-Control")), ("tunnel-balancer", Some("no-store")));
        assert!(response.text().contains(url), "{response:?}");
    }
    stuck.respond(Action::Hang);
    assert_eq!(app.send(Request::get("/").host("stuck.test")).await.status, 504, "not a fallback");
    down.respond(Reply::status(200));
    assert_eq!(app.get("/").await.status, 200, "the last resort comes first");
}

/// Starts a target with a service whose only server is stopped, with one more line of settings. The
/// server holds its port as long as it lives: a server of another case would respond there.
async fn unavailable(bench: &Bench, setting: &str) -> (App, FaultyServer) {
    let [down] = bench.servers(["down"]).await;
    down.stop().await;
    let app = bench.start(Service::of([&down]).with(setting)).await;
    (app, down)
}

fn id(response: &Response) -> String {
    response.header("X-Request-Id").unwrap_or_else(|| panic!("no X-Request-Id: {response:?}")).to_owned()
}
