//! A configuration that cannot be used: the visitor learns nothing, the operator everything.

use tunnel_balancer_tests::{Bench, Response};

cases![
    bad_configuration_is_a_fixed_500 not on Native: "it does not start with a bad file, so that nobody can ask it",
    bad_configuration_keeps_it_from_starting not on Worker: "nothing can keep a Worker from being asked",
    bad_configuration_is_explained_to_the_operator,
    every_mistake_is_named_at_once,
];

/// With a mistake in line 4, an unknown key, and a name that no answer may repeat.
const UNKNOWN_KEY: &str =
    "services:\n  app.test:\n    servers: [\"http://very-secret.internal\"]\n    polcy: failover\n";

/// Each with a mistake of its own.
const BAD: [&str; 9] = [
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
async fn bad_configuration_is_a_fixed_500(bench: Bench) {
    let mut answers = Vec::new();
    for yaml in BAD {
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

async fn bad_configuration_keeps_it_from_starting(bench: Bench) {
    for yaml in BAD {
        let rejection = bench.try_serve(yaml, &[]).await.err().unwrap_or_else(|| panic!("it serves with {yaml}"));
        let code = rejection.status.and_then(|status| status.code());
        assert_eq!(code, Some(2), "{yaml}\n{rejection}");
        assert!(!rejection.errors.trim().is_empty(), "not a word about {yaml}");
    }
}

async fn bad_configuration_is_explained_to_the_operator(bench: Bench) {
    let told = bench.complaint(UNKNOWN_KEY).await;
    assert!(told.contains("polcy") && (told.contains("line 4") || told.contains("4:5")), "without the place: {told}");
    assert!(told.contains("policy"), "no hint at the key that was meant: {told}");
}

async fn every_mistake_is_named_at_once(bench: Bench) {
    let told = bench.complaint("services:\n  one.test: \"ftp://a.test\"\n  two.test: \"https://user@b.test\"\n").await;
    assert!(told.contains("ftp") && told.contains("two.test"), "{told}");
}

fn all(response: &Response) -> String {
    format!("{:?} {}", response.headers, response.text())
}
