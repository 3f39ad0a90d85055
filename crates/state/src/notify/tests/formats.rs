//! The requests for each service.

use serde_json::{Value, json};

use super::*;

/// Returns a notice with hostile strings.
fn hostile() -> Notice {
    let detail = "@everyone <!channel> <https://evil.test|x> **b** _i_ `c` [t](https://evil.test) & \u{202e}\n# h";
    Notice {
        server: Some("chat-a".to_owned()),
        host: Some("chat-a.example.net".to_owned()),
        reason: Some("status".to_owned()),
        detail: Some(detail.to_owned()),
        available: vec!["chat-b".to_owned()],
        serving: Some("chat-b".to_owned()),
        ..Notice::new(NoticeKind::ServerDown, SERVICE, 1_700_000_000_000)
    }
}

fn render(target: NotifyTarget, notice: Notice) -> (Delivery, Value) {
    let mut state = Notifications::default();
    let targets = [target];
    state.push(&targets, notice, 1_700_000_000_000);
    let delivery = state.due(&targets, 1_700_000_000_000).remove(0);
    let body = serde_json::from_str(&delivery.body).unwrap();
    (delivery, body)
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

fn plain() -> Notice {
    Notice { detail: Some("no connection".to_owned()), reason: Some("connect_failed".to_owned()), ..hostile() }
}

#[test]
fn json_has_every_fact() {
    let target = NotifyTarget {
        token: Some("t0ken".to_owned()),
        headers: vec![("x-source".to_owned(), "balancer".to_owned())],
        ..NotifyTarget::new(TargetKind::Json, "https://hook.test/path?key=1")
    };
    let (delivery, body) = render(target.clone(), plain());
    let expected = json!({
        "version": 1, "id": delivery.id, "ts": "2023-11-14T22:13:20.000Z", "event": "server_down",
        "service": "chat.test", "server": "chat-a", "reason": "connect_failed", "detail": "no connection",
        "serving": "chat-b", "available": ["chat-b"], "changes": 1,
        "title": "chat-a is down (chat.test)", "message": "chat-a: no connection. chat-b serves now.",
    });
    assert_eq!(body, expected);
    assert_eq!((delivery.method, delivery.url.as_str()), ("POST", "https://hook.test/path?key=1"));
    assert_eq!(header(&delivery, "content-type"), Some("application/json"));
    assert_eq!(header(&delivery, "authorization"), Some("Bearer t0ken"));
    assert_eq!(header(&delivery, "x-source"), Some("balancer"));
    assert_eq!(header(&delivery, "idempotency-key"), Some(delivery.id.as_str()));
    let (_, body) = render(NotifyTarget { hostnames: true, ..target }, plain());
    assert_eq!(body["host"], "chat-a.example.net");
    assert_eq!(body["message"], "chat-a (chat-a.example.net): no connection. chat-b serves now.");
}

#[test]
fn hosts_of_servers_are_included_on_request_only() {
    let kinds = [TargetKind::Json, TargetKind::Ntfy, TargetKind::Discord, TargetKind::Slack, TargetKind::Gotify];
    for kind in kinds {
        for hostnames in [false, true] {
            let (delivery, _) = render(NotifyTarget { hostnames, ..target(kind) }, plain());
            let shown = delivery.body.replace('\\', "");
            assert_eq!(shown.contains("chat-a.example.net"), hostnames, "{kind:?}: {}", delivery.body);
        }
    }
}

#[test]
fn ntfy_gets_json_at_its_root() {
    for url in ["https://ntfy.test/alerts", "https://ntfy.test/alerts/", "https://ntfy.test/alerts?x=1"] {
        let target = NotifyTarget { token: Some("tk_1".to_owned()), ..NotifyTarget::new(TargetKind::Ntfy, url) };
        let (delivery, body) = render(target, plain());
        assert_eq!(delivery.url, "https://ntfy.test/");
        assert_eq!(header(&delivery, "authorization"), Some("Bearer tk_1"));
        let expected = json!({
            "topic": "alerts", "title": "chat-a is down (chat.test)",
            "message": "chat-a: no connection. chat-b serves now.", "priority": 4, "tags": ["warning"],
            "sequence_id": delivery.id,
        });
        assert_eq!(body, expected);
        // The alphabet and the length that ntfy allows.
        assert!(delivery.id.len() <= 64 && delivery.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}

#[test]
fn discord_shows_no_mention_and_no_formatting() {
    let (_, body) = render(target(TargetKind::Discord), hostile());
    let expected = "**chat\\-a is down \\(chat.test\\)**\nchat\\-a\\: \\@everyone \\<!channel\\> \
                    \\<https\\://evil.test\\|x\\> \\*\\*b\\*\\* \\_i\\_ \\`c\\` \\[t\\]\\(https\\://evil.test\\) & \
                    \\\\u202e\\\\u000a\\# h. chat\\-b serves now.";
    assert_eq!(body, json!({ "content": expected, "allowed_mentions": { "parse": [] }, "flags": 4 }));
}

#[test]
fn slack_shows_no_mention_and_no_link() {
    let (_, body) = render(target(TargetKind::Slack), hostile());
    let expected = "chat-a is down (chat.test)\nchat-a: @everyone &lt;!channel&gt; &lt;https://evil.test|x&gt; \
                    **b** _i_ `c` [t](https://evil.test) &amp; \\u202e\\u000a# h. chat-b serves now.";
    assert_eq!(body["text"], expected);
    assert_eq!((&body["mrkdwn"], &body["unfurl_links"]), (&json!(false), &json!(false)));
}

#[test]
fn gotify_gets_its_token_in_a_header() {
    for url in ["https://push.test/base", "https://push.test/base/"] {
        let target = NotifyTarget { token: Some("Akey".to_owned()), ..NotifyTarget::new(TargetKind::Gotify, url) };
        let (delivery, body) = render(target, plain());
        assert_eq!(delivery.url, "https://push.test/base/message");
        assert_eq!(header(&delivery, "x-gotify-key"), Some("Akey"));
        assert_eq!(header(&delivery, "authorization"), None);
        assert_eq!(body["title"], "chat-a is down (chat.test)");
        assert_eq!((&body["priority"], body.as_object().unwrap().len()), (&json!(6), 3));
    }
}

#[test]
fn messages_have_a_limited_length() {
    let long = "é\"\\_".repeat(2000);
    let notice = Notice {
        server: Some(long.clone()),
        detail: Some(long.clone()),
        serving: None,
        available: vec![long; 64],
        ..plain()
    };
    let (_, body) = render(target(TargetKind::Discord), notice.clone());
    assert!(body["content"].as_str().unwrap().chars().count() <= 2000);
    let (_, body) = render(target(TargetKind::Slack), notice);
    assert!(body["text"].as_str().unwrap().chars().count() <= 4000);
}

#[test]
fn messages_state_what_serves() {
    let base = || Notice { server: None, host: None, detail: None, reason: None, ..plain() };
    let message = |notice: Notice| render(target(TargetKind::Gotify), notice).1["message"].as_str().unwrap().to_owned();
    let down = Notice { kind: NoticeKind::ServiceDown, serving: None, available: Vec::new(), ..plain() };
    assert_eq!(message(down), "chat-a: no connection. No server is available.");
    let up = Notice { kind: NoticeKind::ServiceUp, outage_ms: Some(185_000), ..base() };
    assert_eq!(message(up), "No server was available for 3m 5s. chat-b serves now.");
    let up = Notice { kind: NoticeKind::ServerUp, outage_ms: Some(59_000), changes: 12, ..plain() };
    assert_eq!(message(up), "chat-a was down for 59s. chat-b serves now. 11 earlier changes were not announced.");
    let names: Vec<String> = (0..10).map(|index| format!("s{index}")).collect();
    let many = Notice { serving: None, available: names, changes: 2, ..base() };
    assert_eq!(
        message(many),
        "Available: s0, s1, s2, s3, s4, s5, s6, s7 and 2 more. 1 earlier change was not announced."
    );
}
