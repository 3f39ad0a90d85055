//! Targets of notifications: see `tests/invalid/notify.txt` for invalid ones.

mod validator;

use std::time::Duration;

use tunnel_balancer_config::{parse, parse_with, schema};
use tunnel_balancer_state::{NoticeKind, NotifyTarget, TargetKind};

#[test]
fn targets_of_notifications_are_read() {
    let yaml = r#"
notify:
  - ntfy: https://ntfy.sh/my-topic
  - discord: "${DISCORD_WEBHOOK}"
  - { gotify: "https://push.example.com/base", token: "${GOTIFY_TOKEN}", services: A.example.com }
  - json: "https://hook.example.com/${HOOK_KEY}?a=1"
    headers: { X-Source: balancer }
    services: [a.example.com, "a.example.com/api"]
    events: [server_down, control]
    hostnames: true
  - { slack: "${SLACK}", events: service_down }
  - { heartbeat: "https://hc-ping.com/x", interval: 30s }
services: { a.example.com: b.example.com, a.example.com/api: c.example.com }
"#;
    validator::check(yaml).unwrap();
    let secret = |name: &str| Some(format!("https://secret.example/{}", name.to_lowercase()));
    let config = parse_with(yaml, &secret).unwrap();
    let new = |kind, url: &str| NotifyTarget::new(kind, url);
    let edit = |mut target: NotifyTarget, edit: fn(&mut NotifyTarget)| {
        edit(&mut target);
        target
    };
    let both = || vec!["a.example.com".to_owned(), "a.example.com/api".to_owned()];
    let mut json = new(TargetKind::Json, "https://hook.example.com/https://secret.example/hook_key?a=1");
    json.headers = vec![("x-source".to_owned(), "balancer".to_owned())];
    (json.services, json.hostnames) = (both(), true);
    json.events = vec![NoticeKind::ServerDown, NoticeKind::Control];
    let expected = [
        new(TargetKind::Ntfy, "https://ntfy.sh/my-topic"),
        new(TargetKind::Discord, "https://secret.example/discord_webhook"),
        edit(new(TargetKind::Gotify, "https://push.example.com/base"), |target| {
            target.token = Some("https://secret.example/gotify_token".to_owned());
            target.services = vec!["a.example.com".to_owned()];
        }),
        json,
        edit(new(TargetKind::Slack, "https://secret.example/slack"), |target| {
            target.events = vec![NoticeKind::ServiceDown];
        }),
        edit(new(TargetKind::Heartbeat, "https://hc-ping.com/x"), |target| target.interval = Duration::from_secs(30)),
    ];
    assert_eq!(config.notify, expected);
    assert_eq!(config.secrets, ["DISCORD_WEBHOOK", "GOTIFY_TOKEN", "HOOK_KEY", "SLACK"]);
    // A single target needs no list.
    let config = parse("notify: { ntfy: https://ntfy.sh/t }\nservices: { a.example.com: b.example.com }").unwrap();
    assert_eq!(config.notify, [new(TargetKind::Ntfy, "https://ntfy.sh/t")]);
    // While the secrets are unknown, their URLs are not checked.
    assert_eq!(parse(yaml).unwrap().notify.len(), 6);
}

#[test]
fn the_documented_defaults_are_those_of_a_target() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let keys = schema["definitions"]["notify_target"]["properties"].as_object().unwrap();
    let defaults = keys.iter().filter_map(|(key, schema)| Some((key, schema.get("default")?)));
    let target = |key: &str, value: &serde_json::Value| {
        let kind = if key == "interval" { "heartbeat" } else { "ntfy" };
        let target = serde_json::json!({ kind: "https://ntfy.sh/t", key: value });
        let file = serde_json::json!({ "notify": target, "services": { "a.example.com": "b.example.com" } });
        parse(&file.to_string()).unwrap().notify.remove(0)
    };
    let mut count = 0;
    for (key, default) in defaults {
        count += 1;
        let mut with = target(key, default);
        // An empty list stands for this one.
        let all = [NoticeKind::ServerDown, NoticeKind::ServerUp, NoticeKind::ServiceDown, NoticeKind::ServiceUp];
        if with.events == all {
            with.events.clear();
        }
        assert_eq!(with, NotifyTarget::new(with.kind, "https://ntfy.sh/t"), "{key}");
    }
    assert_eq!(count, 4);
}
