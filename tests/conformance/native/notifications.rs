//! Notifications and heartbeats of the native proxy, to receivers that check their formats.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tunnel_balancer_tests::proxy::{Process, Signal};
use tunnel_balancer_tests::receiver::{Format, Message, Receiver};
use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Bench, Reply, Service, within};

use super::control::{ADMIN, Operator};

cases![
    not on Worker: "its notifications are sent by the object that monitors its servers";
    an_outage_is_announced_to_every_service,
    an_outage_without_a_server_is_one_notice,
    a_target_that_fails_delays_no_other_and_gets_its_notice_later,
    secrets_of_targets_are_not_logged,
    heartbeats_have_no_body_and_keep_their_query,
    a_target_without_its_secret_is_reported,
    a_reload_adds_and_removes_targets,
    a_notice_is_sent_before_the_end,
    pending_notices_and_known_outages_survive_a_kill,
    changes_of_operators_are_announced_on_request,
];

/// Returns a configuration with these targets, of which each is a map.
fn notifying(service: Service, targets: &[String]) -> Yaml {
    let targets: String = targets.iter().map(|target| format!("  - {{ {target} }}\n")).collect();
    let Yaml(services) = service.into();
    Yaml(format!("notify:\n{targets}{services}"))
}

fn text<'a>(message: &'a Message, key: &str) -> &'a str {
    message.body[key].as_str().unwrap_or_default()
}

/// Returns the reasons of failed notifications to a receiver so far.
fn failures(proxy: &Process, receiver: &Receiver) -> Vec<String> {
    let host = receiver.url().replace("http://", "");
    let failed = proxy.events("notification_failed").into_iter();
    let failed = failed.filter(|line| line["detail"].as_str().is_some_and(|detail| detail.contains(&host)));
    failed.map(|line| line["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn an_outage_is_announced_to_every_service(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let json = Receiver::start(Format::Json).await;
    let ntfy = Receiver::start(Format::Ntfy).await;
    let discord = Receiver::start(Format::Discord).await;
    let slack = Receiver::start(Format::Slack).await;
    let gotify = Receiver::start(Format::Gotify).await;
    let targets = [
        format!("json: {}/hook?a=1, hostnames: true, headers: {{ X-Source: balancer }}", json.url()),
        format!("ntfy: {}/my-topic, token: \"${{AFFINITY_KEY}}\"", ntfy.url()),
        format!("discord: {}/api/webhooks/1/x", discord.url()),
        format!("slack: {}/services/x", slack.url()),
        format!("gotify: {}, token: \"${{AFFINITY_KEY}}\"", gotify.url()),
    ];
    let proxy = bench.serve(notifying(Service::of([&primary, &replica]).checked_often(), &targets), &[]).await;
    primary.until("a probe", |counts| counts.probes_done() > 0).await;
    primary.outage(Reply::status(530));
    for receiver in [&json, &ntfy, &discord, &slack, &gotify] {
        receiver.received(1).await;
    }
    primary.recover();
    for receiver in [&json, &ntfy, &discord, &slack, &gotify] {
        let messages = receiver.received(2).await;
        assert!(messages.iter().all(|message| [200, 204].contains(&message.status)), "{messages:#?}");
    }
    let messages = json.messages();
    let (down, up) = (&messages[0], &messages[1]);
    assert_eq!((text(down, "event"), text(down, "server"), text(down, "reason")), ("server_down", "primary", "status"));
    assert_eq!((text(down, "service"), text(down, "serving")), ("app.test", "replica"));
    assert_eq!(text(down, "host"), primary.url().replace("http://", ""));
    assert_eq!((down.request.as_str(), down.header("x-source")), ("POST /hook?a=1", Some("balancer")));
    assert_eq!((text(up, "event"), text(up, "serving")), ("server_up", "primary"));
    assert!(up.body["outage_ms"].as_u64().is_some_and(|outage| outage > 500), "{up:#?}");
    let message = &ntfy.messages()[0];
    assert_eq!(message.header("authorization"), Some("Bearer a key of the conformance suite"));
    assert!(text(message, "message").ends_with("replica serves now."), "{message:#?}");
    assert!(proxy.events("notification_failed").is_empty());
}

async fn an_outage_without_a_server_is_one_notice(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let json = Receiver::start(Format::Json).await;
    let target = format!("json: {}", json.url());
    let _proxy = bench.serve(notifying(Service::of([&primary]).checked_often(), &[target]), &[]).await;
    primary.until("a probe", |counts| counts.probes_done() > 0).await;
    primary.stop().await;
    json.received(1).await;
    primary.restart().unwrap();
    let messages = json.received(2).await;
    let events: Vec<(&str, &str)> = messages.iter().map(|it| (text(it, "event"), text(it, "server"))).collect();
    assert_eq!(events, [("service_down", "primary"), ("service_up", "primary")]);
}

async fn a_target_that_fails_delays_no_other_and_gets_its_notice_later(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let [failing, limited, hanging, redirecting, refusing, other, works] = [const { Format::Json }; 7];
    let receivers = [failing, limited, hanging, redirecting, refusing, other, works].map(Receiver::start);
    let mut started = Vec::new();
    for receiver in receivers {
        started.push(receiver.await);
    }
    let [failing, limited, hanging, redirecting, refusing, other, works] =
        <[Receiver; 7]>::try_from(started).unwrap_or_else(|_| unreachable!("seven"));
    failing.plan(&[(500, "")]);
    limited.plan(&[(429, "Retry-After: 6\r\n")]);
    hanging.plan(&[(0, "")]);
    redirecting.plan(&[(302, &format!("Location: {}/\r\n", other.url()))]);
    refusing.plan(&[(400, "")]);
    let mut targets: Vec<String> = [&failing, &limited, &hanging, &redirecting, &refusing, &works]
        .map(|receiver| format!("json: {}/", receiver.url()))
        .to_vec();
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    targets.push(format!("json: http://{closed}/"));
    let proxy = bench.serve(notifying(Service::of([&primary, &replica]), &targets), &[]).await;
    primary.respond(Reply::status(530));
    proxy.get("/").await;
    works.received(1).await;
    assert!(proxy.events("notification_failed").iter().all(|line| line["reason"] != "timeout"), "it did not wait");
    for receiver in [&failing, &limited, &hanging, &redirecting] {
        let messages = receiver.received(2).await;
        let ids: Vec<_> = messages.iter().map(|message| message.header("idempotency-key")).collect();
        assert!(ids[0].is_some() && ids[0] == ids[1], "a repetition has the same id: {messages:#?}");
    }
    for (receiver, reason) in [
        (&failing, "status"),
        (&limited, "status"),
        (&hanging, "timeout"),
        (&redirecting, "status"),
        (&refusing, "status"),
    ] {
        assert_eq!(failures(&proxy, receiver), [reason]);
    }
    let lines = proxy.events("notification_failed");
    let line = |status: u16| lines.iter().find(|line| line["status"] == status).unwrap();
    assert_eq!((&line(429)["duration_ms"], &line(500)["duration_ms"]), (&7000.into(), &5000.into()));
    assert!(line(400)["duration_ms"].is_null(), "it is dropped");
    assert!(lines.iter().any(|line| line["reason"] == "connect_failed"), "{lines:#?}");
    assert_eq!((other.messages().len(), refusing.messages().len()), (0, 1));
}

async fn secrets_of_targets_are_not_logged(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let [works, fails] = [Receiver::start(Format::Json).await, Receiver::start(Format::Json).await];
    fails.plan(&[(500, ""), (500, ""), (500, "")]);
    let options = "token: \"${AFFINITY_KEY}\", headers: { X-Key: hunter2 }";
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let targets = [works.url(), fails.url(), format!("http://{closed}")]
        .map(|url| format!("json: \"{url}/hunter2?token=hunter2\", {options}"));
    let arguments = ["--log-level", "debug"];
    let proxy = bench.serve(notifying(Service::of([&primary, &replica]), &targets), &arguments).await;
    primary.respond(Reply::status(530));
    proxy.get("/").await;
    proxy.logged("notification_sent", 1).await;
    proxy.logged("notification_failed", 2).await;
    let message = &works.messages()[0];
    assert_eq!((message.request.as_str(), message.header("x-key")), ("POST /hunter2?token=hunter2", Some("hunter2")));
    let log = proxy.log().text();
    assert!(log.contains("json 127.0.0.1:"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("conformance suite"), "{log}");
}

async fn heartbeats_have_no_body_and_keep_their_query(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let monitor = Receiver::start(Format::Heartbeat).await;
    let target = format!("heartbeat: \"{}/api/push/x?status=up&msg=OK&ping=\", interval: 10s", monitor.url());
    let proxy = bench.serve(notifying(Service::of([&primary]), &[target]), &["--log-level", "debug"]).await;
    let message = &monitor.received(1).await[0];
    assert_eq!(message.request, "GET /api/push/x?status=up&msg=OK&ping=");
    assert_eq!(message.status, 200);
    proxy.logged("notification_sent", 1).await;
    monitor.received(2).await;
}

async fn a_target_without_its_secret_is_reported(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let json = Receiver::start(Format::Json).await;
    let targets = [format!("json: {}", json.url()), "discord: \"${NOT_SET}\"".to_owned()];
    let proxy = bench.serve(notifying(Service::of([&primary, &replica]), &targets), &[]).await;
    let line = &proxy.logged("notification_failed", 1).await[0];
    assert_eq!(line["reason"], "missing_secret");
    assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("NOT_SET")), "{line}");
    primary.respond(Reply::status(530));
    assert_eq!(proxy.get("/").await.served_by(), "replica");
    json.received(1).await;
}

async fn a_reload_adds_and_removes_targets(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let [first, second] = [Receiver::start(Format::Json).await, Receiver::start(Format::Json).await];
    let service = || Service::of([&primary, &replica]).checked_often();
    let configuration = |receiver: &Receiver| notifying(service(), &[format!("json: {}", receiver.url())]);
    let proxy = bench.serve(configuration(&first), &[]).await;
    primary.until("a probe", |counts| counts.probes_done() > 0).await;
    primary.stop().await;
    first.received(1).await;
    proxy.edit(configuration(&second));
    let loaded = &proxy.logged("config_loaded", 2).await[1];
    assert_eq!(loaded["detail"], "changed notifications");
    primary.restart().unwrap();
    let up = &second.received(1).await[0];
    assert_eq!(text(up, "event"), "server_up", "the outage is not announced again");
    assert_eq!(first.messages().len(), 1);
}

async fn a_notice_is_sent_before_the_end(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let json = Receiver::start(Format::Json).await;
    let target = format!("json: {}", json.url());
    let mut proxy = bench.serve(notifying(Service::of([&primary, &replica]), &[target]), &[]).await;
    primary.respond(Reply::status(530));
    proxy.get("/").await;
    proxy.signal(Signal::TERM);
    tokio::time::timeout(Duration::from_secs(30), proxy.exit()).await.unwrap();
    assert_eq!(text(&json.messages()[0], "event"), "server_down");
}

async fn pending_notices_and_known_outages_survive_a_kill(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let json = Receiver::start(Format::Json).await;
    json.plan(&[(503, "")]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("state.json");
    let arguments = ["--state-file", file.to_str().expect("UTF-8")];
    let target = format!("json: \"{}/hunter2\"", json.url());
    let configuration = || notifying(Service::of([&primary, &replica]).checked_often(), std::slice::from_ref(&target));
    let mut proxy = bench.serve(configuration(), &arguments).await;
    primary.until("a probe", |counts| counts.probes_done() > 0).await;
    primary.stop().await;
    proxy.logged("notification_failed", 1).await;
    let stored = async {
        while !fs::read_to_string(&file).is_ok_and(|text| text.contains("server_down") && text.contains("failures\":1"))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the notice to be stored", stored).await;
    assert!(!fs::read_to_string(&file).unwrap().contains("hunter2"));
    proxy.signal(Signal::KILL);
    proxy.exit().await;
    let proxy = bench.serve(configuration(), &arguments).await;
    let messages = json.received(2).await;
    assert_eq!(text(&messages[0], "id"), text(&messages[1], "id"), "{messages:#?}");
    proxy.logged("server_unhealthy", 1).await;
    primary.restart().unwrap();
    let messages = json.received(3).await;
    assert_eq!(text(&messages[2], "event"), "server_up", "the outage is not announced again: {messages:#?}");
}

async fn changes_of_operators_are_announced_on_request(bench: Bench) {
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let [all, default] = [Receiver::start(Format::Json).await, Receiver::start(Format::Json).await];
    let targets = [format!("json: {}, events: [control, server_down]", all.url()), format!("json: {}", default.url())];
    let proxy = bench.serve(notifying(Service::of([&primary, &replica]), &targets), &ADMIN).await;
    let operator = Operator::of(&proxy).await;
    operator.run("drain", "primary", json!({ "comment": "new disk", "duration_ms": 1000 })).await;
    let messages = all.received(2).await;
    assert_eq!((text(&messages[0], "event"), text(&messages[0], "server")), ("control", "primary"));
    let (change, end) = (text(&messages[0], "detail"), text(&messages[1], "detail"));
    assert!(change.starts_with("drain for 1s by ") && change.ends_with(": new disk"), "{change}");
    assert!(end.starts_with("drain ended by "), "{end}");
    assert!(default.messages().is_empty());
}
