//! Deliveries that fail.

use tunnel_balancer_core::Reason;

use super::*;

fn failing(status: u16) -> Result<(), DeliveryError> {
    DeliveryError::check(status, None)
}

/// Returns a host with a pending notice.
fn pending() -> Host {
    let mut host = Host::new(vec![target(TargetKind::Json)]);
    host.observe("-+");
    host
}

/// Fails everything for a time. Returns when deliveries were tried, in seconds.
fn fail(host: &mut Host, millis: u64, result: &Result<(), DeliveryError>) -> Vec<u64> {
    let (start, end) = (host.now, host.now + millis);
    let mut tried = Vec::new();
    while let Some(next) = host.state.next_due(&host.targets).filter(|next| *next <= end) {
        host.now = host.now.max(next);
        for delivery in host.due() {
            tried.push((host.now - start) / 1000);
            host.settle(&delivery, result.clone());
            host.restart();
        }
    }
    host.now = end;
    tried
}

#[test]
fn the_wait_doubles_up_to_a_limit_and_ends_after_a_day() {
    let mut host = pending();
    let tried = fail(&mut host, 48 * 3_600_000, &Err(DeliveryError::new(Reason::Timeout)));
    assert_eq!(tried[..6], [0, 5, 15, 35, 75, 155]);
    assert!(tried.windows(2).all(|pair| pair[1] - pair[0] <= 900), "{tried:?}");
    assert!((23 * 3600..24 * 3600).contains(tried.last().unwrap()), "{tried:?}");
    assert_eq!(host.state.next_due(&host.targets), None);
}

#[test]
fn retry_after_is_followed_within_a_limit() {
    let table = [("30", 31_000), ("0.5", 5_000), ("86400", 3_600_000), ("soon", 5_000), ("", 5_000)];
    for (header, expected) in table {
        let mut host = pending();
        let delivery = host.due().remove(0);
        let settled = host.settle(&delivery, DeliveryError::check(429, Some(header)));
        assert_eq!(settled, Some(DeliveryOutcome::Retried { failures: 1, wait: expected }), "{header}");
        assert!(host.due().is_empty());
        host.wait(expected);
        assert_eq!(host.due().len(), 1);
    }
}

#[test]
fn only_success_is_success() {
    for status in [200, 201, 202, 204] {
        assert_eq!(failing(status), Ok(()));
    }
    for status in [100, 301, 302, 307, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503] {
        let mut host = pending();
        let delivery = host.due().remove(0);
        let is_final = matches!(status, 400 | 413 | 422);
        let settled = host.settle(&delivery, failing(status)).unwrap();
        assert_eq!(settled == DeliveryOutcome::Dropped, is_final, "{status}: {settled:?}");
    }
}

#[test]
fn a_dropped_notice_does_not_block_the_next_one() {
    let mut host = pending();
    host.observe("--");
    let delivery = host.due().remove(0);
    assert_eq!(host.settle(&delivery, failing(400)), Some(DeliveryOutcome::Dropped));
    assert_eq!(host.delivered(), ["service_down b"]);
}

#[test]
fn notices_arrive_in_order_and_replace_each_other_while_the_target_fails() {
    let mut host = pending();
    let delivery = host.due().remove(0);
    host.observe("--");
    assert!(host.due().is_empty(), "one at a time");
    host.settle(&delivery, failing(502));
    host.observe("-+");
    host.observe("++");
    assert_eq!(fail(&mut host, 60_000, &failing(502)), [5, 15, 35]);
    host.observe("-+");
    assert_eq!(host.deliver(600_000), [(15, "service_up b x2".to_owned()), (16, "server_down a x3".to_owned())]);
}

#[test]
fn a_notice_in_flight_is_not_replaced() {
    let mut host = pending();
    let delivery = host.due().remove(0);
    host.settle(&delivery, failing(502));
    host.wait(5_000);
    let delivery = host.due().remove(0);
    host.observe("++");
    assert_eq!(host.settle(&delivery, Ok(())), Some(DeliveryOutcome::Delivered));
    assert_eq!(host.delivered(), ["server_up a"]);
}

#[test]
fn a_delivery_without_a_result_is_repeated_with_the_same_id() {
    let mut host = pending();
    let first = host.due().remove(0);
    host.restart();
    host.wait(Notifications::LEASE - 1);
    assert!(host.due().is_empty());
    host.wait(1);
    let second = host.due().remove(0);
    assert_eq!(first, second);
    assert_eq!(host.settle(&second, Ok(())), Some(DeliveryOutcome::Delivered));
    assert_eq!(host.settle(&first, Ok(())), None, "a late result changes nothing");
    assert!(host.delivered().is_empty());
}

#[test]
fn the_same_notice_is_queued_once() {
    let targets = vec![target(TargetKind::Json)];
    let mut host = Host::new(targets.clone());
    let notice = Notice { server: Some("a".to_owned()), ..Notice::new(NoticeKind::ServerDown, SERVICE, host.now) };
    for _ in 0..2 {
        host.state.push(&targets, notice.clone(), host.now);
    }
    assert_eq!(host.delivered(), ["server_down a"]);
    host.state.push(&targets, notice, host.now);
    assert!(host.delivered().is_empty());
}

#[test]
fn queues_are_bounded_and_keep_the_newest() {
    let targets = vec![target(TargetKind::Json)];
    let mut host = Host::new(targets.clone());
    let push = |host: &mut Host, index: u32| {
        let notice =
            Notice { server: Some(index.to_string()), ..Notice::new(NoticeKind::ServerDown, SERVICE, host.now) };
        host.state.push(&targets, notice, host.now);
    };
    push(&mut host, 0);
    let first = host.due().remove(0);
    (1..1000).for_each(|index| push(&mut host, index));
    assert_eq!(host.settle(&first, Ok(())), Some(DeliveryOutcome::Delivered), "it was in flight");
    let delivered = host.deliver(3_600_000);
    assert_eq!((delivered.len(), delivered[98].1.as_str()), (99, "server_down 999"));
    let stored = serde_json::to_string(&host.state).unwrap();
    assert!(stored.len() < 100_000, "{}", stored.len());
}

#[test]
fn stored_state_has_no_url_and_no_token() {
    let url = "https://user:hunter2@hooks.example/hunter2";
    let secret = NotifyTarget { token: Some("hunter2".to_owned()), ..NotifyTarget::new(TargetKind::Json, url) };
    let mut host = Host::new(vec![secret]);
    host.observe("-+");
    let delivery = host.due().remove(0);
    let stored = serde_json::to_string(&host.state).unwrap();
    assert!(stored.contains("server_down") && !stored.contains("hunter2") && !stored.contains("hooks"), "{stored}");
    let shown = format!("{delivery:?} {:?}", host.state);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn pending_notices_of_a_removed_target_are_dropped_and_reported() {
    let mut host = pending();
    let other = NotifyTarget::new(TargetKind::Json, "https://other.test/");
    let both = [host.targets[0].clone(), other.clone()];
    assert_eq!(host.state.retain(&both, |_| true), 0);
    assert_eq!(host.state.retain(&[other], |_| true), 1);
}

#[test]
fn a_clock_that_is_set_back_blocks_nothing() {
    let mut host = pending();
    let delivery = host.due().remove(0);
    host.settle(&delivery, failing(502));
    host.now -= 30 * 24 * 3_600_000;
    assert_eq!(host.due().len(), 1);
}

#[test]
fn heartbeats_have_an_interval_and_stop_with_an_outage() {
    let heartbeat = NotifyTarget {
        interval: std::time::Duration::from_secs(30),
        ..NotifyTarget::new(TargetKind::Heartbeat, "https://uptime.test/api/push/key?status=up&msg=OK")
    };
    let mut host = Host::new(vec![heartbeat]);
    let times = |delivered: Vec<(u64, String)>| delivered.into_iter().map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(times(host.deliver(100_000)), [0, 30, 60, 90]);
    host.observe("-+");
    assert_eq!(times(host.deliver(60_000)), [20, 50], "another server is available");
    host.observe("--");
    assert!(host.deliver(600_000).is_empty() && host.due().is_empty());
    host.observe("-+");
    assert_eq!(times(host.deliver(20_000)), [0]);
    // The interval is the longest wait after a failure.
    assert_eq!(fail(&mut host, 120_000, &failing(500)), [10, 15, 25, 45, 75, 105]);
}

#[test]
fn heartbeats_alone_change_nothing_that_is_stored() {
    let heartbeat = NotifyTarget::new(TargetKind::Heartbeat, "https://uptime.test/");
    let mut host = Host::new(vec![heartbeat, target(TargetKind::Json)]);
    assert_eq!(host.deliver(600_000).len(), 11);
    assert_eq!(host.state.without_heartbeats(), Notifications::default());
    host.observe("-+");
    let stored = host.state.without_heartbeats();
    assert_ne!(stored, Notifications::default());
    host.state = stored;
    assert_eq!(host.delivered(), ["heartbeat", "server_down a"]);
}

#[test]
fn a_limited_host_delivers_to_all_targets_in_turns() {
    let mut host =
        Host::new((0..6).map(|n| NotifyTarget::new(TargetKind::Json, format!("https://{n}.test"))).collect());
    host.observe("--++++");
    host.observe("----++");
    let mut urls = std::collections::BTreeSet::new();
    for _ in 0..3 {
        host.wait(1_000);
        let due = host.state.due_at_most(2, &host.targets, host.now);
        assert_eq!(due.len(), 2);
        for delivery in due {
            urls.insert(delivery.url.clone());
            host.settle(&delivery, Ok(()));
        }
    }
    assert_eq!(urls.len(), 6, "{urls:?}");
}
