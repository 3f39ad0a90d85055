//! Every path of the endpoint, in every mode of access.

use std::collections::BTreeSet;

use serde_json::Value;
use tunnel_balancer_core::{Failure, Pool, Server, ServerHeader, Service, Services, Timestamp};
use tunnel_balancer_state::HistoryEntry;
use tunnel_balancer_state::control::{Command, Control, Failures, Token};
use tunnel_balancer_status::{
    Balancer, Endpoint, EndpointOutcome, Host, Observation, Sharing, StatusRequest, StatusResponse, StatusSettings,
};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const STATUS: &str = "0123-secret-of-status";
const CONTROL: &str = "0123-secret-of-control";

/// What only readers with a token may see.
const INTERNALS: [&str; 8] = [
    "hidden.example",
    "hidden-a",
    "hidden-b",
    "X-Hidden",
    "hidden header value",
    "hidden cause",
    "hidden comment",
    "hidden@operator",
];

fn configured() -> Vec<Service> {
    let server = |name: &str| {
        let mut server = Server::new(format!("{name}.hidden.example").parse().unwrap());
        server.headers = vec![ServerHeader::new("X-Hidden", "hidden header value")];
        server
    };
    let mut chat = Service::new("app.hidden.example", vec![server("hidden-a"), server("hidden-b")]).unwrap();
    chat.title = "My Chat".to_owned();
    chat.health_check.as_mut().unwrap().fall = 1;
    let mut wiki = Service::new("wiki.hidden.example/w", vec![server("hidden-b")]).unwrap();
    wiki.title = "Wiki".to_owned();
    vec![chat, wiki]
}

/// Returns pools of which one has a failed probe.
fn services() -> Services {
    let services = Services::new(configured(), 1);
    let failed = |pool: &Pool| {
        pool.update(|state| {
            let lease = state.next_probe(NOW).unwrap();
            state.on_probe(lease, &Err(Failure::Connect), NOW);
        });
    };
    services.pools().filter(|pool| pool.service().title == "My Chat").for_each(|pool| failed(pool));
    services
}

/// Returns a history with a transition and a change.
fn control(services: &Services) -> Control {
    let mut control = Control::default();
    let now = NOW.as_millis();
    control.begin(now - 3_600_000);
    for pool in services.pools() {
        for event in pool.update(|state| state.drain_events()) {
            let entry = HistoryEntry::transition(event, pool.service());
            control.history.push(HistoryEntry { detail: Some("hidden cause".to_owned()), ..entry }, now);
        }
    }
    let drain = r#"{"action":"drain","service":"app.hidden.example","server":"hidden-b",
        "comment":"hidden comment","origin":"hidden@operator"}"#;
    control.run(&Command::parse(drain.as_bytes()).unwrap(), &configured(), now).unwrap();
    control
}

/// Returns the response of an endpoint.
fn get(endpoint: &Endpoint, path: &str, token: Option<&str>) -> StatusResponse {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let request =
        StatusRequest { method: "GET", path, query, authorization: authorization.as_deref(), accept: Some("*/*") };
    respond(endpoint, request)
}

fn respond(endpoint: &Endpoint, request: StatusRequest<'_>) -> StatusResponse {
    let view = match endpoint.receive(request, &mut Failures::default(), true, NOW.as_millis()) {
        EndpointOutcome::Response(response) => return response,
        EndpointOutcome::View(view) => view,
    };
    let (services, configured) = (services(), configured());
    let control = control(&services);
    let seen = Observation {
        now: NOW.as_millis(),
        balancer: Balancer { host: Host::Worker, version: "1.2.3", ..Balancer::default() },
        sharing: Sharing { mode: "kv", age_ms: Some(1_500), error: Some("hidden cause".to_owned()) },
        services: view.observe(&services, &configured, NOW),
        overrides: &control.overrides,
        history: Some(&control.history),
        history_since: control.history_since(NOW.as_millis()),
    };
    view.render(&seen)
}

fn endpoint(public: bool, status: bool, control: bool) -> Option<Endpoint> {
    let mut settings = StatusSettings::default();
    settings.public = public;
    settings.token = status.then(|| STATUS.to_owned());
    Endpoint::new(Some(&settings), control.then(|| Token::new(CONTROL).unwrap()), true)
}

fn json(response: &StatusResponse) -> Value {
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

const PATHS: [&str; 12] = [
    "/__balancer",
    "/__balancer/",
    "/__balancer/status.json",
    "/__balancer/status.json?service=app.hidden.example",
    "/__balancer/metrics",
    "/__balancer/badge/my-chat.svg",
    "/__balancer/badge/hidden-a.svg",
    "/__balancer/healthz",
    "/__balancer/readyz",
    "/__balancer/control",
    "/__balancer/control/history",
    "/__balancer/unknown",
];

#[test]
fn without_settings_there_is_no_endpoint() {
    assert!(Endpoint::new(None, Some(Token::new(CONTROL).unwrap()), true).is_none());
}

/// A secret that is not set must not send the paths, with the tokens of operators, to a server.
#[test]
fn without_a_token_the_endpoint_has_no_data() {
    let endpoint = endpoint(false, false, false).unwrap();
    for path in ["/__balancer", "/__balancer/healthz", "/__balancer/readyz"] {
        assert_eq!(get(&endpoint, path, None).status, 200, "{path}");
    }
    for path in ["/__balancer/status.json", "/__balancer/metrics", "/__balancer/badge/my-chat.svg"] {
        for token in [None, Some(""), Some("a token of an operator")] {
            assert_eq!(get(&endpoint, path, token).status, 401, "{path}");
        }
    }
}

#[test]
fn strangers_see_no_internals() {
    for (public, status, control) in
        [(true, false, false), (true, true, true), (false, true, false), (false, false, true)]
    {
        let endpoint = endpoint(public, status, control).unwrap();
        for path in PATHS {
            for token in [None, Some("a wrong token of a stranger")] {
                let response = get(&endpoint, path, token);
                let text = format!("{:?} {}", response.headers, response.body).to_lowercase();
                for internal in INTERNALS {
                    assert!(!text.contains(&internal.to_lowercase()), "{path}: {internal}\n{text}");
                }
                for secret in [STATUS, CONTROL] {
                    assert!(!text.contains(secret), "{path}: {text}");
                }
            }
        }
    }
}

#[test]
fn paths_have_their_access() {
    // The statuses without a token, with the status token and with the control token.
    let table = [
        ("/__balancer", [200; 3], [200; 3]),
        ("/__balancer/", [200; 3], [200; 3]),
        ("/__balancer/status.json", [200; 3], [401, 200, 200]),
        ("/__balancer/status.json?service=app.hidden.example", [200; 3], [401, 200, 200]),
        ("/__balancer/status.json?service=app%2Ehidden.example", [200; 3], [401, 200, 200]),
        ("/__balancer/status.json?service=other", [200, 404, 404], [401, 404, 404]),
        ("/__balancer/metrics", [401, 200, 200], [401, 200, 200]),
        ("/__balancer/badge/my-chat.svg", [200; 3], [401, 200, 200]),
        ("/__balancer/badge/other.svg", [404; 3], [401, 404, 404]),
        ("/__balancer/badge/%FF.svg", [404; 3], [401, 404, 404]),
        ("/__balancer/healthz", [200; 3], [200; 3]),
        ("/__balancer/readyz", [200; 3], [200; 3]),
        ("/__balancer/unknown", [404; 3], [404; 3]),
    ];
    for (path, public, private) in table {
        for (is_public, expected) in [(true, public), (false, private)] {
            let endpoint = endpoint(is_public, true, true).unwrap();
            let found = [None, Some(STATUS), Some(CONTROL)].map(|token| get(&endpoint, path, token).status);
            assert_eq!(found, expected, "{path}, public: {is_public}");
        }
    }
}

#[test]
fn a_wrong_token_is_refused_though_the_page_is_public() {
    let endpoint = endpoint(true, true, false).unwrap();
    let response = get(&endpoint, "/__balancer/status.json", Some("wrong"));
    assert_eq!(response.status, 401);
    assert!(response.headers.contains(&("www-authenticate", "Bearer".to_owned())));
    let mut failures = Failures::default();
    let request = StatusRequest {
        method: "GET",
        path: "/__balancer/metrics",
        authorization: Some("Bearer wrong"),
        ..StatusRequest::default()
    };
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let EndpointOutcome::Response(response) = endpoint.receive(request, &mut failures, true, 0) else { panic!() };
        statuses.push(response.status);
    }
    assert_eq!((&statuses[..10], statuses[10]), (&[401; 10][..], 429));
}

#[test]
fn the_report_has_everything() {
    let endpoint = endpoint(false, true, true).unwrap();
    let report = json(&get(&endpoint, "/__balancer/status.json", Some(STATUS)));
    assert_eq!(report["version"], 1);
    assert_eq!((&report["kind"], &report["counts_of"]), (&"full".into(), &"isolate".into()));
    assert_eq!(report["control"], false);
    assert_eq!(report["sharing"]["age_ms"], 1_500);
    assert_eq!(report["overrides"][0]["server"], "hidden-b");
    let [chat, wiki] = report["services"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!((&chat["service"], &wiki["service"]), (&"app.hidden.example".into(), &"wiki.hidden.example/w".into()));
    assert_eq!((&chat["state"], &wiki["state"]), (&"degraded".into(), &"up".into()));
    assert_eq!(chat["serving"], serde_json::json!(["hidden-b"]));
    let [a, b] = chat["servers"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(
        (&a["state"], &a["skipped"], &a["reason"]),
        (&"unhealthy".into(), &"unhealthy".into(), &"connect_failed".into())
    );
    assert_eq!((&a["probe"]["passed"], &a["failed_probes"]), (&false.into(), &1.into()));
    assert_eq!((&b["state"], &b["serving"], &b["skipped"]), (&"unknown".into(), &true.into(), &Value::Null));
    assert!(chat.get("history").is_none());
    let control = json(&get(&endpoint, "/__balancer/status.json", Some(CONTROL)));
    assert_eq!(control["control"], true);
}

#[test]
fn the_report_of_one_service_has_its_history() {
    let endpoint = endpoint(false, true, false).unwrap();
    let report = json(&get(&endpoint, "/__balancer/status.json?service=app.hidden.example", Some(STATUS)));
    let [chat] = report["services"].as_array().unwrap().as_slice() else { panic!() };
    let events: Vec<&Value> = chat["history"].as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events, ["server_unhealthy", "control_changed"]);
    assert_eq!(chat["incidents"][0]["kind"], "degraded");
    let days = chat["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[29]["up"], days[28].get("up")), (30, &1.0.into(), None));
    assert_eq!(chat["minutes"], serde_json::json!([]));
}

#[test]
fn the_public_form_has_titles_states_and_incidents() {
    let endpoint = endpoint(true, false, false).unwrap();
    let report = json(&get(&endpoint, "/__balancer/status.json", None));
    assert_eq!(report["kind"], "public");
    // The order depends on a feature of serde_json that other packages may enable.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert!(keys(&report).iter().eq(&["history_since", "incidents", "kind", "now", "services", "version"]));
    assert!(keys(&report["services"][0]).iter().eq(&["days", "since", "state", "title"]));
    assert_eq!(
        (&report["services"][0]["title"], &report["services"][0]["state"]),
        (&"My Chat".into(), &"degraded".into())
    );
    assert_eq!(report["incidents"][0]["title"], "My Chat");
    assert!(keys(&report["incidents"][0]).iter().eq(&["from", "kind", "title"]));
}

#[test]
fn only_get_and_head_are_accepted() {
    let endpoint = endpoint(true, true, false).unwrap();
    let request = |method| StatusRequest { method, path: "/__balancer/status.json", ..StatusRequest::default() };
    let head = respond(&endpoint, request("HEAD"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let post = respond(&endpoint, request("POST"));
    assert!(post.status == 405 && post.headers.contains(&("allow", "GET, HEAD".to_owned())));
    let page = respond(&endpoint, StatusRequest { method: "HEAD", path: "/__balancer", ..StatusRequest::default() });
    assert_eq!((page.status, page.body.as_str()), (200, ""));
}

#[test]
fn responses_are_neither_stored_nor_embedded() {
    let endpoint = endpoint(true, true, false).unwrap();
    for path in PATHS {
        let response = get(&endpoint, path, None);
        for (name, expected) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            let values: Vec<&str> =
                response.headers.iter().filter(|(it, _)| *it == name).map(|(_, value)| value.as_str()).collect();
            assert_eq!(values, [expected], "{path}: {name}");
        }
    }
    let page = get(&endpoint, "/__balancer", None);
    let policy = page.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap();
    assert!(policy.1.starts_with("default-src 'none';"), "{}", policy.1);
}

#[test]
fn a_listener_of_this_machine_needs_no_token() {
    let endpoint = Endpoint::admin(None, None);
    let report = json(&get(&endpoint, "/__balancer/status.json", None));
    assert_eq!((&report["kind"], &report["control"]), (&"full".into(), &true.into()));
    let with_token = Endpoint::admin(None, Some(Token::new(CONTROL).unwrap()));
    assert_eq!(get(&with_token, "/__balancer/metrics", None).status, 401);
    assert_eq!(get(&with_token, "/__balancer/metrics", Some(CONTROL)).status, 200);
}

#[test]
fn a_process_that_drains_is_not_ready() {
    let endpoint = endpoint(true, false, false).unwrap();
    let request = |path| StatusRequest { method: "GET", path, ..StatusRequest::default() };
    for (path, expected) in [("/__balancer/readyz", 503), ("/__balancer/healthz", 200)] {
        let received = endpoint.receive(request(path), &mut Failures::default(), false, 0);
        let EndpointOutcome::Response(response) = received else { panic!() };
        assert_eq!(response.status, expected);
    }
}

#[test]
fn the_prefix_can_be_changed() {
    let mut settings = StatusSettings::default();
    (settings.path, settings.public) = ("/ops/status".to_owned(), true);
    let endpoint = Endpoint::new(Some(&settings), None, true).unwrap();
    assert_eq!(get(&endpoint, "/ops/status/healthz", None).status, 200);
    assert_eq!(endpoint.path("/__balancer/healthz"), None);
    assert_eq!(endpoint.control_path("/ops/status/control/history").unwrap(), "/__balancer/control/history");
    assert_eq!(endpoint.control_path("/ops/status/controls"), None);
}

#[test]
fn metrics_have_both_formats() {
    let endpoint = endpoint(false, true, false).unwrap();
    let authorization = format!("Bearer {STATUS}");
    let request = |accept| StatusRequest {
        method: "GET",
        path: "/__balancer/metrics",
        authorization: Some(&authorization),
        accept,
        ..StatusRequest::default()
    };
    let content_type = |response: &StatusResponse| {
        let header = response.headers.iter().find(|(name, _)| *name == "content-type");
        header.map(|(_, value)| value.clone()).unwrap()
    };
    let text = respond(&endpoint, request(Some("*/*")));
    assert_eq!(content_type(&text), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        r#"tunnel_balancer_build_info{version="1.2.3",host="worker"} 1"#,
        r#"tunnel_balancer_service_state{service="app.hidden.example",state="degraded"} 1"#,
        r#"tunnel_balancer_requests_total{service="wiki.hidden.example/w"} 0"#,
        r#"tunnel_balancer_server_failed_probes_total{service="app.hidden.example",server="hidden-a"} 1"#,
        r#"tunnel_balancer_server_available{service="app.hidden.example",server="hidden-a"} 0"#,
        r#"tunnel_balancer_sharing_age_seconds{mode="kv"} 1.500"#,
    ] {
        assert!(text.body.lines().any(|it| it == line), "{line}\n{}", text.body);
    }
    let open = respond(&endpoint, request(Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")));
    assert!(content_type(&open).starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("# EOF\n"));
}
