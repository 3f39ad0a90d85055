//! One request of each kind, and the limits of the header.

use std::sync::Arc;

use expect_test::{Expect, expect};
use http::{Method, StatusCode};
use tunnel_balancer_core::{Exchange, Failure, Finish, PoolState, RequestMeta, Server, Step, Timestamp, Writes};

use super::*;

const NOW: u64 = 1_000_000;

fn service(names: &[&str]) -> Service {
    let server = |name: &&str| {
        let mut server = Server::new(format!("{}.example", name.to_ascii_lowercase()).parse().unwrap());
        (*name).clone_into(&mut server.name);
        server
    };
    let mut service = Service::new("chat.example.com", names.iter().map(server).collect()).unwrap();
    service.health_check = None;
    service
}

fn get() -> RequestMeta {
    RequestMeta { trace: true, ..RequestMeta::new(Method::GET) }
}

/// Runs a request whose attempts end with these outcomes, 10 ms after their start. Waits are
/// skipped.
fn run(state: &mut PoolState, request: RequestMeta, outcomes: &[Outcome]) -> Trace {
    let at = |millis| Timestamp::from_millis(NOW + millis);
    let (mut exchange, mut step) = Exchange::start(request, state, at(0));
    let (mut outcomes, mut now) = (outcomes.iter(), 0);
    loop {
        step = match step {
            Step::Attempt(attempt) => {
                now += 10;
                let outcome = *outcomes.next().unwrap();
                exchange.set_failure_detail(matches!(outcome, Outcome::Failed(_)).then_some("cause"));
                exchange.report(state, attempt, outcome, at(now))
            }
            Step::Sleep(pause) => {
                now += u64::try_from(pause.as_millis()).unwrap();
                exchange.resume(state, at(now))
            }
            Step::Finish(Finish::Response | Finish::LocalReply(_)) => return *exchange.take_trace().unwrap(),
            Step::Await => unreachable!(),
        };
    }
}

fn status(code: u16) -> Outcome {
    Outcome::Status(StatusCode::from_u16(code).unwrap())
}

/// Returns a step in lines that are not long.
fn lines(step: &TraceStep, service: &Service) -> String {
    let json = step_json(step, service).finish() + "\n";
    [r#"{"server""#, r#""outcome""#].iter().fold(json, |json, part| json.replace(part, &format!("\n  {part}")))
}

/// Compares the steps of a request, one a line.
fn check(service: Service, request: RequestMeta, outcomes: &[Outcome], expected: &Expect) {
    let mut state = PoolState::new(Arc::new(service.clone()), 1);
    let trace = run(&mut state, request, outcomes);
    let steps: Vec<String> = trace.steps().iter().map(|step| lines(step, &service)).collect();
    expected.assert_eq(&steps.concat());
}

const LOST: Outcome = Outcome::Failed(Failure::ConnectionLost);
const REFUSED: Outcome = Outcome::Failed(Failure::Connect);

#[test]
fn a_request_is_served() {
    check(
        service(&["chat-a", "chat-b"]),
        get(),
        &[status(200)],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"selectable","health":"unknown"},
              {"server":"chat-b","standing":"selectable","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-a"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-a","ms":10,
              "outcome":"status","status":200,"delivery":"responded","impact":"success","retryable":false}
            {"at_ms":10,"step":"stop","reason":"responded"}
        "#]],
    );
}

#[test]
fn a_request_is_retried() {
    check(
        service(&["chat-a", "chat-b"]),
        get(),
        &[REFUSED, status(200)],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"selectable","health":"unknown"},
              {"server":"chat-b","standing":"selectable","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-a"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-a","ms":10,
              "outcome":"connect_failed","detail":"cause","delivery":"never","impact":"fatal","retryable":true}
            {"at_ms":10,"step":"select","servers":[
              {"server":"chat-a","standing":"tried","health":"unknown","source":"traffic","age_ms":0},
              {"server":"chat-b","standing":"selectable","health":"unknown"}]}
            {"at_ms":10,"step":"attempt","attempt":2,"server":"chat-b"}
            {"at_ms":20,"step":"result","attempt":2,"server":"chat-b","ms":10,
              "outcome":"status","status":200,"delivery":"responded","impact":"success","retryable":false}
            {"at_ms":20,"step":"stop","reason":"responded"}
        "#]],
    );
}

#[test]
fn a_post_that_may_have_run_is_not_retried() {
    let post = RequestMeta { method: Method::POST, ..get() };
    check(
        service(&["chat-a", "chat-b"]),
        post,
        &[LOST],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"selectable","health":"unknown"},
              {"server":"chat-b","standing":"selectable","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-a"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-a","ms":10,
              "outcome":"connection_lost","detail":"cause","delivery":"unknown","impact":"failure","retryable":false}
            {"at_ms":10,"step":"stop","reason":"not_idempotent"}
        "#]],
    );
}

#[test]
fn a_request_is_held_until_its_server_returns() {
    let mut held = service(&["chat-a"]);
    held.retry.hold = Some(Duration::from_secs(2));
    check(
        held,
        get(),
        &[REFUSED, REFUSED, status(200)],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"selectable","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-a"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-a","ms":10,
              "outcome":"connect_failed","detail":"cause","delivery":"never","impact":"fatal","retryable":true}
            {"at_ms":10,"step":"select","servers":[
              {"server":"chat-a","standing":"tried","health":"unknown","source":"traffic","age_ms":0}]}
            {"at_ms":10,"step":"wait","ms":250,"reason":"held"}
            {"at_ms":260,"step":"select","servers":[
              {"server":"chat-a","standing":"last_resort","health":"unknown","source":"traffic","age_ms":250}]}
            {"at_ms":260,"step":"attempt","attempt":2,"server":"chat-a","last_resort":true}
            {"at_ms":270,"step":"result","attempt":2,"server":"chat-a","ms":10,
              "outcome":"connect_failed","detail":"cause","delivery":"never","impact":"fatal","retryable":true}
            {"at_ms":270,"step":"wait","ms":250,"reason":"held"}
            {"at_ms":520,"step":"attempt","attempt":3,"server":"chat-a","last_resort":true}
            {"at_ms":530,"step":"result","attempt":3,"server":"chat-a","ms":10,
              "outcome":"status","status":200,"delivery":"responded","impact":"success","retryable":false}
            {"at_ms":530,"step":"stop","reason":"responded"}
        "#]],
    );
}

#[test]
fn a_request_is_refused() {
    let trace = RequestMeta { method: Method::TRACE, ..get() };
    check(
        service(&["chat-a"]),
        trace,
        &[],
        &expect![[r#"
        {"at_ms":0,"step":"refused","reason":"method_not_allowed"}
    "#]],
    );
    let mut maintained = service(&["chat-a"]);
    maintained.maintenance = true;
    check(
        maintained,
        get(),
        &[],
        &expect![[r#"
        {"at_ms":0,"step":"refused","reason":"maintenance"}
    "#]],
    );
    let mut servers = service(&["chat-a"]).servers().to_vec();
    servers[0].max_requests = Some(0);
    check(
        Service::new("chat.example.com", servers).unwrap(),
        get(),
        &[],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"at_capacity","health":"unknown"}]}
            {"at_ms":0,"step":"no_server","reason":"overloaded"}
        "#]],
    );
    let mut replicas = service(&["chat-a", "chat-b"]);
    replicas.writes = Writes::PrimaryOnly;
    check(
        replicas,
        RequestMeta { method: Method::POST, ..get() },
        &[REFUSED],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"selectable","health":"unknown"},
              {"server":"chat-b","standing":"primary_only","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-a"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-a","ms":10,
              "outcome":"connect_failed","detail":"cause","delivery":"never","impact":"fatal","retryable":true}
            {"at_ms":10,"step":"select","servers":[
              {"server":"chat-a","standing":"tried","health":"unknown","source":"traffic","age_ms":0},
              {"server":"chat-b","standing":"primary_only","health":"unknown"}]}
            {"at_ms":10,"step":"no_server","reason":"read_only"}
        "#]],
    );
}

#[test]
fn a_request_is_forced() {
    let mut forced = service(&["chat-a", "chat-b"]);
    forced.forced = ServerId::new(1);
    check(
        forced,
        get(),
        &[status(200)],
        &expect![[r#"
            {"at_ms":0,"step":"select","servers":[
              {"server":"chat-a","standing":"forced_elsewhere","health":"unknown"},
              {"server":"chat-b","standing":"selectable","health":"unknown"}]}
            {"at_ms":0,"step":"attempt","attempt":1,"server":"chat-b"}
            {"at_ms":10,"step":"result","attempt":1,"server":"chat-b","ms":10,
              "outcome":"status","status":200,"delivery":"responded","impact":"success","retryable":false}
            {"at_ms":10,"step":"stop","reason":"responded"}
        "#]],
    );
}

#[test]
fn the_source_of_health_is_named() {
    let service = service(&["chat-a", "chat-b"]);
    let mut monitor = PoolState::new(Arc::new(service.clone()), 1);
    run(&mut monitor, get(), &[REFUSED, status(200)]);
    let mut state = PoolState::new(Arc::new(service.clone()), 2);
    state.merge(&monitor.export("monitor"), Timestamp::from_millis(NOW + 500));
    let trace = run(&mut state, get(), &[status(200)]);
    let expected = r#""ejected_for_ms":9510,"health":"unknown","source":"shared","age_ms":490}"#;
    let found = step_json(&trace.steps()[0], &service).finish();
    assert!(found.contains(expected), "{found}");
}

#[test]
fn the_header_is_ascii_and_bounded() {
    let names: Vec<String> = (0..64).map(|n| format!("server-{n}-{}", "x".repeat(40))).collect();
    let mut service = service(&names.iter().map(String::as_str).collect::<Vec<_>>());
    service.retry.attempts = 64;
    let mut state = PoolState::new(Arc::new(service.clone()), 1);
    let trace = run(&mut state, get(), &[REFUSED; 64]);
    let header = trace_header(&trace, &service, Err(LocalReply::unavailable(Duration::ZERO)));
    assert!(header.len() <= MAX_LEN && header.is_ascii(), "{} bytes", header.len());
    let json: serde_json::Value = serde_json::from_str(&header).unwrap();
    assert_eq!(
        json["omitted"].as_u64().unwrap() + json["steps"].as_array().unwrap().len() as u64,
        trace.steps().len() as u64
    );
    assert_eq!((json["result"].as_str(), json["status"].as_u64()), (Some("local_reply"), Some(503)));
    assert_eq!(ascii("ü\u{1f600}\u{7f}"), "\\u00fc\\ud83d\\ude00\\u007f");
    let timing = server_timing(&trace, &service);
    assert!(timing.starts_with("balancer;dur=640, attempt-1;desc=\"server-0-x"), "{timing}");
    assert_eq!(timing.matches("attempt-").count(), 16);
}
