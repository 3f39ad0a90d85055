//! Whole files.

use tunnel_balancer_config::{Errors, parse, parse_scenario, parse_with};

use crate::serve::serve;

pub(crate) const SEEDS: &[&str] = &[
    include_str!("../../../examples/access-protected.yaml"),
    include_str!("../../../examples/all-settings.yaml"),
    include_str!("../../../examples/many-services.yaml"),
    include_str!("../../../examples/stateful-application.yaml"),
    include_str!("../../../examples/two-servers.yaml"),
    include_str!("../../../examples/scenarios/all-keys.yaml"),
    "services: { chat.example.com: [chat-a.example.com, chat-b.example.com] }",
    "services:\n  chat.example.com: { server: chat-a.example.com }",
    "services: { b\u{fc}cher.example/%C3%BC: [https://a.example:8443/base, '[::1]:80'] }",
    "defaults: &d { retry: { attempts: 3 } }\nservices: { a.example: { <<: *d, servers: [b.example] } }",
    "services:\r\n  a.example: |\n    b.example\n---\n...\n",
    "? [services]\n: !t x",
];

/// Checks that any string is a configuration that can serve, or that it has diagnostics.
pub fn yaml(text: &str) {
    let parsed = parse(text);
    let known = parse_with(text, &|_| Some("a secret that is long enough".to_owned()));
    assert_eq!(parsed.as_ref().err(), known.as_ref().err(), "secrets do not change the diagnostics");
    match parsed {
        Ok(config) => {
            assert!(config.services.iter().all(|service| service.servers().iter().any(|server| server.enabled)));
            assert_eq!(
                parse_with(text, &|_| None).is_ok(),
                config.secrets.is_empty(),
                "every missing secret is an error"
            );
            serve(known.expect("it is valid without secrets").services);
        }
        Err(errors) => diagnostics(text, &errors),
    }
    if let Err(errors) = parse_scenario(text, None) {
        diagnostics(text, &errors);
    }
}

/// Checks that diagnostics are sorted, limited in number, and inside the file.
pub fn diagnostics(text: &str, errors: &Errors) {
    let diagnostics = errors.diagnostics();
    assert!(!diagnostics.is_empty() && diagnostics.len() <= Errors::MAX_DIAGNOSTICS);
    assert!(diagnostics.is_sorted_by_key(|diagnostic| (diagnostic.line, diagnostic.column)));
    // YAML has more line ends than `\n`.
    let lines = 2 + text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for diagnostic in diagnostics {
        assert!((1..=lines).contains(&diagnostic.line) && diagnostic.column >= 1, "{diagnostic}");
        assert!(!diagnostic.message.contains('\n') && !diagnostic.path.contains('\n'), "{diagnostic}");
        assert!(diagnostic.message.len() < 1_000, "{diagnostic}");
    }
}
