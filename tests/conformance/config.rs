//! Invalid configurations: clients get no details, and the operator gets all errors.

use tunnel_balancer_tests::proxy::events;
use tunnel_balancer_tests::{Bench, Request, Response, Service};

cases![
    the_module_has_the_services_without_a_variable not on Native: "it has no modules",
    an_invalid_module_is_rejected not on Native: "it has no modules",
    an_invalid_variable_leaves_the_module not on Native: "it has no modules",
    an_invalid_file_prevents_the_start not on Worker: "a deployed Worker always receives requests",
    a_missing_secret_affects_only_its_service,
    configuration_errors_are_logged_with_line_and_hint,
    all_configuration_errors_are_reported,
    internationalized_hostnames_are_converted,
    settings_that_the_worker_does_not_support_are_rejected not on Native: "it supports all of them",
];

/// A file with an unknown key in line 4, and a name that no response may contain.
const UNKNOWN_KEY: &str =
    "services:\n  app.test:\n    servers: [\"http://very-secret.internal\"]\n    polcy: failover\n";

/// Files with one error each.
const INVALID: [&str; 9] = [
    UNKNOWN_KEY,
    "services: [very-secret.internal",
    "services:\n  app.test: \"ftp://very-secret.internal\"\n",
    "services: {}\n",
    "services:\n  app.test: []\n",
    "very-secret.internal\n",
    "services:\n  app.test: very-secret.internal\n  APP.test: very-secret.internal\n",
    "services:\n  app.test: [other.test]\n  other.test: very-secret.internal\n",
    "a: &a [very-secret.internal]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b]\nservices: [*c, *c]\n",
];

async fn the_module_has_the_services_without_a_variable(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let app = bench.start_with_module(Service::of([&a])).await;
    let response = app.get("/").await;
    assert_eq!((response.served_by(), response.header(CONFIG)), ("a", None), "{response:?}");
    let log = app.log().until("the source", |log| events(log).any(|line| line["event"] == "config_loaded")).await;
    assert!(events(&log).any(|line| line["source"] == "services.yaml"), "{log}");
}

async fn an_invalid_module_is_rejected(bench: Bench) {
    let app = bench.start_with_module(UNKNOWN_KEY).await;
    assert_eq!(app.get("/").await.status, 500);
    let log = app.log().until("the error", |log| events(log).any(|line| line["event"] == "config_rejected")).await;
    assert!(log.contains("polcy") && events(&log).any(|line| line["source"] == "services.yaml"), "{log}");
}

/// CFG-13.
async fn an_invalid_variable_leaves_the_module(bench: Bench) {
    let mut responses = Vec::new();
    for yaml in INVALID {
        let app = bench.start(yaml).await;
        let response = app.get("/").await;
        assert_eq!((response.status, response.header(CONFIG)), (404, Some("fallback")), "{yaml}\n{response:?}");
        assert!(!all(&response).contains("very-secret"), "reveals the configuration: {response:?}");
        responses.push(response.text());
        let log = app.log().until("the error", |log| events(log).any(|line| line["event"] == "config_rejected")).await;
        let rejected = events(&log).find(|line| line["event"] == "config_rejected").expect("just found");
        assert_eq!((&rejected["level"], &rejected["source"]), (&"error".into(), &"SERVICES_YAML".into()), "{rejected}");
    }
    responses.dedup();
    assert_eq!(responses.len(), 1, "the text depends on the error: {responses:?}");
    let app = bench.start(INVALID[0]).await;
    // The services.yaml of the repository, whose servers cannot be reached from here.
    let response = app.send(Request::get("/").host("chat.example.com")).await;
    assert_eq!((response.status, response.header(CONFIG)), (503, Some("fallback")), "{response:?}");
}

async fn a_missing_secret_affects_only_its_service(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    let header = "headers: { X-Token: \"${NOT_SET}\" }";
    let services = vec![Service::of([&a]), Service::of([&a]).host("secret.test").each_with(header)];
    let app = bench.start(services).await;
    assert_eq!(app.get("/").await.served_by(), "a");
    let json = Request::get("/").host("secret.test").header("Accept", "application/json");
    let response = app.send(json).await;
    assert_eq!((response.status, response.header("X-Served-By")), (503, Some("tunnel-balancer")), "{response:?}");
    assert!(response.text().contains("\"error\":\"missing_secret\""), "{}", response.text());
    assert!(!response.text().contains("NOT_SET"), "{}", response.text());
    let log = app.log().until("the missing secret", |log| log.contains("service_unavailable")).await;
    let line = events(&log).find(|line| line["event"] == "service_unavailable").expect("just found");
    assert_eq!((&line["service"], &line["reason"]), (&"secret.test".into(), &"missing_secret".into()), "{line}");
    assert!(line["detail"].to_string().contains("NOT_SET"), "{line}");
    assert_eq!(a.hits(), 1, "the server got a request without its secret");
}

/// The header that marks responses while the newest configuration is rejected.
const CONFIG: &str = "X-Tunnel-Balancer-Config";

async fn an_invalid_file_prevents_the_start(bench: Bench) {
    for yaml in INVALID {
        let rejection = bench.try_serve(yaml, &[]).await.err().unwrap_or_else(|| panic!("it serves with {yaml}"));
        let code = rejection.status.and_then(|status| status.code());
        assert_eq!(code, Some(2), "{yaml}\n{rejection}");
        assert!(!rejection.errors.trim().is_empty(), "no error for {yaml}");
    }
}

async fn configuration_errors_are_logged_with_line_and_hint(bench: Bench) {
    let error = bench.configuration_error(UNKNOWN_KEY).await;
    assert!(error.contains("polcy") && (error.contains("line 4") || error.contains("4:5")), "no position: {error}");
    assert!(error.contains("policy"), "no hint at the similar key: {error}");
}

async fn all_configuration_errors_are_reported(bench: Bench) {
    let error = bench
        .configuration_error("services:\n  one.test: \"ftp://a.test\"\n  two.test: \"https://user@b.test\"\n")
        .await;
    assert!(error.contains("ftp") && error.contains("two.test"), "{error}");
}

fn all(response: &Response) -> String {
    format!("{:?} {}", response.headers, response.text())
}

/// The tables are those of the runtime in the Worker, and those of a crate in the native proxy.
async fn internationalized_hostnames_are_converted(bench: Bench) {
    let [a] = bench.servers(["a"]).await;
    // A full-width digit.
    let url = a.url().replace("127.", "\u{ff11}27.");
    let app = bench.start(Service::at([("a", url)]).host("B\u{fc}cher.test")).await;
    let response = app.send(Request::get("/").host("xn--bcher-kva.test")).await;
    assert_eq!(response.served_by(), "a");
    let invalid = ["\u{378}.test", "xn--a.test"];
    let count = if bench.target().rejects_invalid_punycode() { 2 } else { 1 };
    for name in &invalid[..count] {
        let error = bench.configuration_error(&format!("services:\n  app.test: {name}\n")).await;
        assert!(error.contains("invalid-url") && error.contains("international"), "{name}: {error}");
    }
}

async fn settings_that_the_worker_does_not_support_are_rejected(bench: Bench) {
    for (setting, hint) in [("health_check: tcp", "health_check: false"), ("health_check: { port: 81 }", "hostname")] {
        let yaml = format!("services:\n  app.test: {{ servers: a.example.com, {setting} }}\n");
        let error = bench.configuration_error(&yaml).await;
        assert!(error.contains("unsupported") && error.contains(hint), "{setting}: {error}");
    }
}
