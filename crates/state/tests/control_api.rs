//! The control API: requests, responses and the token.

use serde_json::{Value, json};
use tunnel_balancer_core::{PoolState, Server, Service, Timestamp};
use tunnel_balancer_state::control::{
    CONTROL_PATH, Control, ControlRequest, ControlResponse, Failures, ListedService, Token,
};

const NOW: u64 = 1_790_000_000_000;

fn service() -> Service {
    let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    Service::new("app.test/api", servers.to_vec()).unwrap()
}

fn respond(control: &mut Control, request: ControlRequest<'_>) -> (u16, Value, usize) {
    let service = service();
    let status = PoolState::new(service.clone().into(), 1).status(Timestamp::from_millis(NOW)).servers;
    let handled = control.respond(request, &[ListedService { service: &service, status }], NOW);
    let body = serde_json::from_str(&handled.response.body).unwrap();
    (handled.response.status, body, handled.changed.len())
}

fn get(path: &'static str) -> ControlRequest<'static> {
    ControlRequest { method: "GET", path, ..ControlRequest::default() }
}

fn post(body: &str) -> ControlRequest<'_> {
    let content_type = Some("application/json; charset=utf-8");
    ControlRequest {
        method: "POST",
        path: CONTROL_PATH,
        content_type,
        body: body.as_bytes(),
        ..ControlRequest::default()
    }
}

#[test]
fn the_state_is_returned() {
    let mut control = Control::default();
    let drain = r#"{"action":"drain","service":"app.test/api","server":"a","duration_ms":60000,"comment":"disk"}"#;
    let (status, body, changed) = respond(&mut control, post(drain));
    let change = json!({
        "action": "drain", "service": "app.test/api", "server": "a", "since": NOW, "until": NOW + 60_000,
        "remaining_ms": 60_000, "comment": "disk", "origin": "api"
    });
    assert_eq!((status, &body, changed), (200, &json!({ "now": NOW, "changed": [change] }), 1));
    let (status, body, changed) = respond(&mut control, get(CONTROL_PATH));
    assert_eq!((status, changed), (200, 0));
    let server = |name, drain| {
        json!({
            "server": name, "enabled": true, "drain": drain, "weight": 1, "backup": false, "state": "unknown",
            "in_flight": 0
        })
    };
    let servers = [server("a", true), server("b", false)];
    let expected = json!({
        "now": NOW,
        "services": [{ "service": "app.test/api", "maintenance": false, "forced": null, "servers": servers }],
        "overrides": [change],
    });
    assert_eq!(body, expected);
}

#[test]
fn a_change_without_effect_is_marked() {
    let json = r#"{"overrides":[{"action":"force","service":"app.test/api","server":"gone","since":1,"origin":"x"}]}"#;
    let mut control: Control = serde_json::from_str(json).unwrap();
    let (_, body, _) = respond(&mut control, get(CONTROL_PATH));
    assert_eq!(body["overrides"][0]["has_effect"], false);
}

#[test]
fn the_history_is_filtered() {
    let mut control = Control::default();
    for server in ["a", "b"] {
        let command =
            format!(r#"{{"action":"weight","weight":2,"service":"app.test/api","server":"{server}","comment":"x"}}"#);
        respond(&mut control, post(&command));
    }
    let servers = |control: &mut Control, query: &'static str| {
        let request = ControlRequest { query, ..get("/__balancer/control/history") };
        let (status, body, _) = respond(control, request);
        let servers = body["history"].as_array().map(|entries| entries.iter().map(|it| it["server"].clone()).collect());
        (status, servers.unwrap_or_else(Vec::new))
    };
    assert_eq!(servers(&mut control, ""), (200, vec![json!("b"), json!("a")]));
    assert_eq!(servers(&mut control, "server=a"), (200, vec![json!("a")]));
    assert_eq!(servers(&mut control, "service=app.test%2Fapi&limit=1"), (200, vec![json!("b")]));
    assert_eq!(servers(&mut control, "service=app.test"), (200, vec![]));
    assert_eq!(servers(&mut control, "before=5"), (200, vec![]));
    for query in ["limit=x", "limit=-1", "servr=a", "server=%", "server=%zz", "server=%+1", "server=%ff"] {
        assert_eq!(servers(&mut control, query).0, 400, "{query}");
    }
}

#[test]
fn other_requests_are_refused() {
    let command = r#"{"action":"drain","service":"app.test/api","server":"a"}"#;
    let table = [
        (ControlRequest { path: "/", ..get("/") }, 404, "not_found"),
        (get("/__balancer/control/x"), 404, "not_found"),
        (get("/__balancer/controls"), 404, "not_found"),
        (ControlRequest { method: "DELETE", ..get(CONTROL_PATH) }, 405, "method_not_allowed"),
        (ControlRequest { method: "POST", ..get("/__balancer/control/history") }, 405, "method_not_allowed"),
        (ControlRequest { content_type: None, ..post(command) }, 415, "unsupported_media_type"),
        (ControlRequest { content_type: Some("text/plain"), ..post(command) }, 415, "unsupported_media_type"),
        (ControlRequest { origin: Some("https://evil.example"), ..post(command) }, 403, "forbidden"),
        (ControlRequest { origin: Some("null"), ..get(CONTROL_PATH) }, 403, "forbidden"),
        (ControlRequest { origin: Some("https://null"), ..get(CONTROL_PATH) }, 403, "forbidden"),
        (
            ControlRequest { origin: Some("http://app.test:81"), host: Some("app.test"), ..get(CONTROL_PATH) },
            403,
            "forbidden",
        ),
        (ControlRequest { body: &[b' '; ControlRequest::MAX_BODY + 1], ..post(command) }, 413, "too_large"),
        (post("{}"), 400, "invalid_command"),
        (post(r#"{"action":"drain","service":"app.test","server":"a"}"#), 404, "unknown_service"),
    ];
    let mut control = Control::default();
    for (request, status, code) in table {
        let (found, body, changed) = respond(&mut control, request);
        assert_eq!((found, body["error"].as_str(), changed), (status, Some(code), 0), "{request:?}");
        assert!(body["message"].is_string());
    }
    assert_eq!(control, Control::default());
}

#[test]
fn pages_of_the_same_host_are_accepted() {
    for (origin, host) in [("https://app.test", "app.test"), ("http://127.0.0.1:9990", "127.0.0.1:9990")] {
        let request = ControlRequest { origin: Some(origin), host: Some(host), ..get(CONTROL_PATH) };
        assert_eq!(respond(&mut Control::default(), request).0, 200, "{origin}");
    }
}

#[test]
fn responses_have_headers() {
    let names = |response: &ControlResponse| -> String {
        response.headers().iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    };
    let mut control = Control::default();
    let deleted = control.respond(ControlRequest { method: "DELETE", ..get(CONTROL_PATH) }, &[], NOW).response;
    assert!(names(&deleted).contains("allow: GET, POST\n"));
    let found = control.respond(get(CONTROL_PATH), &[], NOW).response;
    assert_eq!(
        names(&found),
        "content-type: application/json\ncache-control: no-store\nx-content-type-options: nosniff\n"
    );
    assert_eq!(serde_json::from_str::<Value>(&found.with_warning("w").body).unwrap()["warning"], "w");
}

const TOKEN: &str = "a token of the operator";

#[test]
fn tokens_are_compared() {
    let token = Token::new(&format!("{TOKEN}\n")).unwrap();
    for right in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("BEARER  {TOKEN} ")] {
        assert!(token.matches(Some(&right)), "{right}");
    }
    let wrong = ["", "Bearer", "Bearer ", "Bearer a token", TOKEN, "Basic a token of the operator", "Bearer\ta token"];
    for wrong in wrong {
        assert!(!token.matches(Some(wrong)), "{wrong}");
    }
    assert!(!token.matches(None));
    assert!(Token::new("fifteen bytes.. ").is_err() && Token::new("").is_err());
    assert_eq!(format!("{token:?}"), "Token { .. }");
}

#[test]
fn wrong_tokens_are_limited_and_the_right_one_is_not() {
    let token = Token::new(TOKEN).unwrap();
    let (mut failures, right) = (Failures::default(), format!("Bearer {TOKEN}"));
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for nth in 0..1_000 {
        let refused = failures.check(&token, Some("Bearer wrong"), NOW + nth).unwrap_err();
        *statuses.entry(refused.status).or_default() += 1;
        assert_eq!(refused.retry_after.is_some(), refused.status == 429);
        assert!(refused.retry_after.unwrap_or(1) <= 6, "{refused:?}");
        assert!(failures.check(&token, Some(&right), NOW + nth).is_ok());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [(401, 10), (429, 990)]);
    let later = NOW + 1_000 + 6_000;
    assert_eq!(failures.check(&token, None, later).unwrap_err().status, 401, "one more after six seconds");
    assert_eq!(failures.check(&token, None, later).unwrap_err().status, 429);
    assert_eq!(failures.check(&token, None, 0).unwrap_err().status, 429, "the clock was set back");
    assert_eq!(failures.check(&token, None, 6_000).unwrap_err().status, 401, "which does not extend the limit");
}

#[test]
fn the_documentation_is_current() {
    let page = include_str!("../../../docs/control.md");
    let block = |name: &str| {
        let (_, block) = page.split_once(&format!("<!-- {name} -->\n```json\n")).unwrap();
        block.split_once("\n```").unwrap().0
    };
    let servers = ["chat-a", "chat-b"].map(|name| Server::new(format!("{name}.example.com").parse().unwrap()));
    let service = Service::new("chat.example.com", servers.to_vec()).unwrap();
    let mut control = Control::default();
    let mut send = |body: &str| {
        let handled = control.respond(post(body), &[ListedService { service: &service, status: Vec::new() }], NOW);
        (handled.response.status, serde_json::from_str::<Value>(&handled.response.body).unwrap())
    };
    let shown = |name: &str| serde_json::from_str::<Value>(block(name)).unwrap();
    let commands: Vec<&str> = block("commands").lines().collect();
    assert_eq!(send(commands[0]), (200, shown("response")));
    for command in &commands[1..] {
        let (status, body) = send(command);
        assert_eq!(status, 200, "{command}: {body}");
    }
    let wrong = commands[0].replace("chat-a", "chat");
    assert_eq!(send(&wrong), (404, shown("error")));
}
