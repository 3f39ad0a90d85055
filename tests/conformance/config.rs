//! A configuration that cannot be used: the visitor learns nothing, the operator everything.

use tunnel_balancer_tests::{Bench, Response};

cases![bad_configuration_is_a_fixed_500, bad_configuration_is_explained_in_the_log, every_mistake_is_named_at_once,];

/// With a mistake in line 4, an unknown key, and a name that no answer may repeat.
const UNKNOWN_KEY: &str =
    "services:\n  app.test:\n    servers: [\"http://very-secret.internal\"]\n    polcy: failover\n";

async fn bad_configuration_is_a_fixed_500(bench: Bench) {
    let mut answers = Vec::new();
    for yaml in [
        UNKNOWN_KEY,
        "services: [very-secret.internal",
        "services:\n  app.test: \"ftp://very-secret.internal\"\n",
        "services: {}\n",
        "services:\n  app.test: []\n",
        "very-secret.internal\n",
        "services:\n  app.test: very-secret.internal\n  APP.test: very-secret.internal\n",
        "services:\n  app.test: [other.test]\n  other.test: very-secret.internal\n",
        "a: &a [very-secret.internal]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b]\nservices: [*c, *c]\n",
    ] {
        let app = bench.start(yaml).await;
        let response = app.get("/").await;
        let kind = response.header("Content-Type").unwrap_or_default();
        assert!(response.status == 500 && kind.starts_with("text/plain"), "{yaml}\n{response:?}");
        assert!(!all(&response).contains("very-secret"), "tells the configuration: {response:?}");
        answers.push(response.text());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the text depends on the mistake: {answers:?}");
}

async fn bad_configuration_is_explained_in_the_log(bench: Bench) {
    let app = bench.start(UNKNOWN_KEY).await;
    app.get("/").await;
    let names_the_place = |log: &str| log.contains("polcy") && (log.contains("line 4") || log.contains("4:5"));
    let log = app.log().until("the place of the mistake in the log", names_the_place).await;
    assert!(log.contains("policy"), "no hint at the key that was meant: {log}");
}

async fn every_mistake_is_named_at_once(bench: Bench) {
    let app = bench.start("services:\n  one.test: \"ftp://a.test\"\n  two.test: \"https://user@b.test\"\n").await;
    app.get("/").await;
    app.log().until("both mistakes in the log", |log| log.contains("ftp") && log.contains("two.test")).await;
}

fn all(response: &Response) -> String {
    format!("{:?} {}", response.headers, response.text())
}
