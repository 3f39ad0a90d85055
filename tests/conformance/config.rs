//! Invalid configurations: clients get no details, and the operator gets all errors.

use tunnel_balancer_tests::{Bench, Response};

cases![
    invalid_configuration_is_a_fixed_500 not on Native: "it does not start with an invalid file",
    invalid_configuration_prevents_the_start not on Worker: "a deployed Worker always receives requests",
    configuration_errors_are_logged_with_line_and_hint,
    all_configuration_errors_are_reported,
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

/// CFG-13.
async fn invalid_configuration_is_a_fixed_500(bench: Bench) {
    let mut bodies = Vec::new();
    for yaml in INVALID {
        let app = bench.start(yaml).await;
        let response = app.get("/").await;
        let kind = response.header("Content-Type").unwrap_or_default();
        assert!(response.status == 500 && kind.starts_with("text/plain"), "{yaml}\n{response:?}");
        assert!(!all(&response).contains("very-secret"), "contains the configuration: {response:?}");
        bodies.push(response.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the body depends on the error: {bodies:?}");
}

async fn invalid_configuration_prevents_the_start(bench: Bench) {
    for yaml in INVALID {
        let rejection = bench.try_serve(yaml, &[]).await.err().unwrap_or_else(|| panic!("it starts with {yaml}"));
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
