//! Which changes are announced.

use std::time::Duration;

use tunnel_balancer_core::{Event, Failure, Outcome, Pool, ProbeError, Server, Service, Timestamp, Transition};

use super::*;

fn host() -> Host {
    Host::new(vec![target(TargetKind::Json)])
}

#[test]
fn an_outage_is_announced_once_and_its_end_with_its_duration() {
    let mut host = host();
    host.observe("??");
    host.observe("++");
    assert!(host.delivered().is_empty(), "a first result is no change");
    host.observe("-+");
    host.observe("-+");
    assert_eq!(host.delivered(), ["server_down a"]);
    host.wait(50_000);
    host.observe("++");
    let delivery = host.due().remove(0);
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!(body["event"], "server_up");
    assert_eq!(body["outage_ms"], 60_000);
    assert_eq!(body["serving"], "a");
    host.settle(&delivery, Ok(()));
    assert!(host.delivered().is_empty());
}

#[test]
fn a_service_without_a_server_replaces_the_notice_of_its_last_server() {
    let mut host = host();
    host.observe("++");
    host.observe("-+");
    host.observe("--");
    host.observe("-+");
    host.observe("++");
    assert_eq!(host.delivered(), ["server_down a", "service_down b", "service_up b", "server_up a"]);
}

#[test]
fn a_target_that_wants_servers_only_gets_every_server() {
    let events = vec![NoticeKind::ServerDown, NoticeKind::ServerUp];
    let mut host = Host::new(vec![NotifyTarget { events, ..target(TargetKind::Json) }]);
    host.observe("-");
    host.observe("+");
    assert_eq!(host.delivered(), ["server_down a", "server_up a"]);
}

#[test]
fn a_restart_repeats_nothing_and_loses_nothing() {
    let mut host = host();
    host.observe("-+");
    assert_eq!(host.delivered(), ["server_down a"]);
    host.observe("--");
    host.restart();
    assert_eq!(host.delivered(), ["service_down b"], "it was pending");
    host.restart();
    host.observe("??");
    host.observe("?-");
    host.observe("--");
    assert!(host.delivered().is_empty(), "the outages are known");
    host.observe("-+");
    assert_eq!(host.delivered(), ["service_up b"]);
}

#[test]
fn removed_and_disabled_servers_have_no_outage() {
    let mut host = host();
    host.observe("+-");
    assert_eq!(host.delivered(), ["server_down b"]);
    host.observe("+");
    host.observe("++");
    assert!(host.delivered().is_empty());
    host.observe("--");
    assert_eq!(host.delivered(), ["server_down a", "service_down b"]);
    host.state.retain(&host.targets.clone(), |service| service != SERVICE);
    host.observe("++");
    assert!(host.delivered().is_empty());
}

#[test]
fn maintenance_is_no_outage_of_the_service() {
    let events = vec![NoticeKind::ServiceDown, NoticeKind::ServiceUp];
    let mut host = Host::new(vec![NotifyTarget { events, ..target(TargetKind::Json) }]);
    let maintenance = ServiceReading { maintenance: true, ..reading("-") };
    host.state.observe(&host.targets, &maintenance, host.now);
    assert!(host.delivered().is_empty());
    host.observe("-");
    assert_eq!(host.delivered(), ["service_down "]);
}

#[test]
fn a_forced_server_decides_about_its_service() {
    let mut host = host();
    let forced = |conditions, name: &str| ServiceReading { forced: Some(name.to_owned()), ..reading(conditions) };
    let read = |host: &mut Host, reading| host.state.observe(&host.targets, &reading, host.now);
    read(&mut host, forced("++", "b"));
    read(&mut host, forced("-+", "b"));
    assert_eq!(host.delivered(), ["server_down a"]);
    read(&mut host, forced("+-", "b"));
    assert_eq!(host.delivered(), ["server_up a", "service_down b"]);
    host.observe("+-");
    assert_eq!(host.delivered(), ["service_up "], "the operator ended it");
}

#[test]
fn a_server_that_flaps_each_second_is_limited_and_its_final_state_announced() {
    for last in ["-+", "++"] {
        let mut host = host();
        let mut delivered = Vec::new();
        for second in 0..600 {
            host.observe(if second % 2 == 0 { "-+" } else { "++" });
            host.restart();
            delivered.extend(host.deliver(1000));
        }
        host.observe(last);
        delivered.extend(host.deliver(3_600_000));
        let notices: Vec<&str> = delivered.iter().map(|(_, notice)| notice.as_str()).collect();
        assert_eq!(notices[..4], ["server_down a", "server_up a", "server_down a", "server_up a"]);
        let (count, event) = if last == "-+" { (597, "server_down") } else { (596, "server_up") };
        assert_eq!(notices[4..], [format!("{event} a x{count}")], "{last}");
        assert!(host.delivered().is_empty());
    }
}

#[test]
fn changes_of_operators_go_to_targets_that_want_them() {
    let all = target(TargetKind::Json);
    let control =
        NotifyTarget { events: vec![NoticeKind::Control], ..NotifyTarget::new(TargetKind::Json, "https://c.test/") };
    let mut host = Host::new(vec![all, control]);
    let notice = |server| Notice::control(SERVICE, Some(server), "drain by alice@laptop: new disk", host.now);
    let (a, b) = (notice("a"), notice("b"));
    host.state.push(&host.targets, a, host.now);
    host.state.push(&host.targets, b, host.now);
    assert_eq!(host.delivered(), ["control a", "control b"]);
}

#[test]
fn a_pool_is_read_with_the_reasons_of_its_events() {
    let servers = ["a.example.net", "b.example.net"].map(|url| Server::new(url.parse().unwrap()));
    let pool = Pool::new(Service::new(SERVICE, servers.to_vec()).unwrap(), 1);
    let now = Timestamp::from_millis(1_700_000_000_000);
    let read = |events: &[_], now| ServiceReading::of(&pool, events, now);
    let conditions = |reading: &ServiceReading| reading.servers.iter().map(|it| it.condition).collect::<Vec<_>>();
    assert_eq!(conditions(&read(&[], now)), [ServerCondition::Unknown; 2]);
    let entries = r#"{ "server": "a", "probed_at": 1700000000001, "health": "unhealthy" },
        { "server": "b", "probed_at": 1700000000001, "health": "healthy",
          "state_changed_at": 1700000000001, "ejected_until": 1700000009000, "ejection_count": 1 }"#;
    let snapshot = serde_json::from_str(&format!(r#"{{ "version": 1, "servers": [{entries}] }}"#)).unwrap();
    let later = Timestamp::from_millis(1_700_000_000_002);
    pool.update(|state| state.merge(&snapshot, later));
    let merged = read(&[], later);
    assert_eq!(conditions(&merged), [ServerCondition::Down; 2]);
    assert_eq!((merged.serving, merged.servers[0].reason.clone()), (None, None));
    let ids: Vec<_> = pool.service().all().iter().collect();
    let unhealthy = Transition::Unhealthy(ProbeError::Failure(Failure::Connect));
    let ejected = Transition::Ejected { outcome: Outcome::Failed(Failure::Timeout), duration: Duration::from_secs(8) };
    let events = [(0, unhealthy), (1, ejected), (1, Transition::Healthy)];
    let events = events.map(|(server, change)| Event { at: later, server: ids[server], change });
    let read = read(&events, later);
    let reasons: Vec<&str> = read.servers.iter().map(|it| it.reason.as_ref().unwrap().0.as_str()).collect();
    assert_eq!(reasons, ["connect_failed", "timeout"]);
    assert_eq!(read.servers[0].since, Some(1_700_000_000_002));
}
