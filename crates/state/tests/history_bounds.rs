//! The bounds of the history, and merges.

use proptest::prelude::*;
use tunnel_balancer_core::{Event, Server, ServerId, Service, Timestamp, Transition};
use tunnel_balancer_state::control::{Action, Command, Control};
use tunnel_balancer_state::{History, HistoryEntry, HistoryFilter};

const DAY: u64 = 24 * 3_600_000;

fn service() -> Service {
    let servers = ["a", "b", "c"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    Service::new("app.test", servers.to_vec()).unwrap()
}

fn transition(at: u64) -> HistoryEntry {
    let event =
        Event { at: Timestamp::from_millis(at), server: ServerId::new(0).unwrap(), change: Transition::Stalled };
    HistoryEntry::transition(event, &service())
}

#[test]
fn entries_of_transitions_have_the_names_of_the_log() {
    let json = serde_json::to_value(transition(5)).unwrap();
    let expected = serde_json::json!({
        "at": 5, "event": "server_stalled", "service": "app.test", "server": "a", "reason": "unresponsive"
    });
    assert_eq!(json, expected);
}

#[test]
fn a_server_that_flaps_does_not_displace_changes() {
    let mut control = Control::default();
    let weight = Command {
        service: Some("app.test".to_owned()),
        server: Some("a".to_owned()),
        weight: Some(2),
        ..Command::new(Action::Weight)
    };
    control.run(&weight, &[service()], 1).unwrap();
    for second in 0..10_000 {
        control.history.push(transition(second * 1_000), second * 1_000);
    }
    assert_eq!(control.history.len(), History::MAX_TRANSITIONS + 1);
    let oldest = control.history.query(&HistoryFilter::default()).last().unwrap();
    assert_eq!(oldest.event, HistoryEntry::CHANGED);
    let newest = control.history.query(&HistoryFilter::default()).next().unwrap();
    assert_eq!(newest.at, 9_999_000);
    control.history.push(transition(31 * DAY), 31 * DAY);
    assert_eq!(control.history.len(), 1, "older than 30 days");
}

/// Returns a control after some commands, at times from 0.
fn control() -> impl Strategy<Value = Control> {
    let action = prop_oneof![
        Just(Action::Drain),
        Just(Action::Enable),
        Just(Action::Disable),
        Just(Action::Weight),
        Just(Action::Force),
        Just(Action::Maintenance),
        Just(Action::Failback),
        Just(Action::Clear),
    ];
    let command = (action, 0..3_usize, 0..3_u32, any::<bool>(), proptest::option::of(1_000..5_000_u64), 0..4_u64);
    proptest::collection::vec(command, 0..12).prop_map(|commands| {
        let (mut control, mut now) = (Control::default(), 0);
        for (action, server, weight, on, duration_ms, wait) in commands {
            now += wait * 1_000;
            let for_service = matches!(action, Action::Maintenance | Action::Failback);
            let command = Command {
                service: Some("app.test".to_owned()),
                server: Some(["a", "b", "c"][server].to_owned()).filter(|_| !for_service),
                weight: (action == Action::Weight).then_some(weight),
                on: (action == Action::Maintenance).then_some(on),
                duration_ms: duration_ms.filter(|_| !matches!(action, Action::Failback | Action::Clear)),
                ..Command::new(action)
            };
            // Some commands would leave no server.
            let _ = control.run(&command, &[service()], now);
            control.expire(now);
        }
        control
    })
}

proptest! {
    #[test]
    fn merges_agree_in_any_order(a in control(), b in control(), c in control()) {
        let merged = |all: [&Control; 3]| {
            let mut result = Control::default();
            all.into_iter().for_each(|one| {
                result.merge(one, 0);
            });
            result
        };
        let expected = merged([&a, &b, &c]);
        for order in [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]] {
            prop_assert_eq!(&merged(order), &expected);
        }
        let mut again = expected.clone();
        prop_assert!(!again.merge(&a, 0), "what is known changes nothing");
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn a_document_is_read_as_it_was_written(control in control()) {
        let json = serde_json::to_string(&control).unwrap();
        prop_assert_eq!(serde_json::from_str::<Control>(&json).unwrap(), control);
    }

    #[test]
    fn a_service_has_a_server_or_maintenance(control in control(), now in 0..60_000_u64) {
        // Without durations, nothing ends by itself.
        let endless = control.overrides.iter().all(|it| it.until.is_none());
        let service = control.overrides.apply(&service(), now);
        let accepts = |server: &Server| server.enabled && !server.drain && server.weight > 0;
        prop_assert!(!endless || service.maintenance || service.servers().iter().any(accepts));
    }

    #[test]
    fn without_changes_a_service_is_as_configured(mut control in control(), now in 0..u64::MAX) {
        control.run(&Command::new(Action::Clear), &[service()], 100_000).unwrap();
        prop_assert_eq!(control.overrides.apply(&service(), now), service());
    }
}
