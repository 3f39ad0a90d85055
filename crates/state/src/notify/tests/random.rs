//! What holds for any history of outages, failures and restarts.

use proptest::prelude::*;

use super::*;

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// The conditions of three servers are read.
    Read([char; 3]),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// What is due is sent, with this result. `None`: the host ends before there is one.
    Send(Option<u16>),
    /// The host starts again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let condition = prop::sample::select(vec!['+', '-', '?']);
    let wait = prop_oneof![0..3_000_u64, 0..120_000_u64, 0..1_200_000_u64];
    let status = prop::sample::select(vec![Some(200), Some(200), Some(500), Some(429), Some(301), None]);
    let step = prop_oneof![
        4 => prop::array::uniform3(condition).prop_map(Step::Read),
        3 => wait.prop_map(Step::Wait),
        3 => status.prop_map(Step::Send),
        1 => Just(Step::Restart),
    ];
    // Less than a day, after which notices are dropped.
    prop::collection::vec(step, 0..60)
}

/// A receiver: what arrived, by `EVENT SERVER` and id, in order.
#[derive(Default)]
struct Inbox(Vec<(String, String)>);

impl Inbox {
    fn receive(&mut self, delivery: &Delivery) {
        let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        self.0.push((format!("{} {}", text("event"), text("server")), delivery.id.clone()));
    }

    /// Returns the last change of a server, or of the service.
    fn last(&self, names: [&str; 2]) -> Option<usize> {
        let (last, _) = self.0.iter().rfind(|(notice, _)| names.iter().any(|name| notice.starts_with(name)))?;
        names.iter().position(|name| last.starts_with(name))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_final_state_arrives_and_nothing_arrives_twice_without_need(steps in steps()) {
        let servers = NotifyTarget {
            events: vec![NoticeKind::ServerDown, NoticeKind::ServerUp],
            ..NotifyTarget::new(TargetKind::Json, "https://servers.test/")
        };
        let service = NotifyTarget {
            events: vec![NoticeKind::ServiceDown, NoticeKind::ServiceUp],
            ..NotifyTarget::new(TargetKind::Json, "https://service.test/")
        };
        let mut host = Host::new(vec![servers, service]);
        let mut inboxes = [Inbox::default(), Inbox::default()];
        let (mut known, mut lost, mut reads) = (['?'; 3], 0, 0);
        let start = host.now;
        for step in steps {
            match step {
                Step::Read(conditions) => {
                    reads += 1;
                    host.observe(&conditions.iter().collect::<String>());
                    for (known, condition) in known.iter_mut().zip(conditions) {
                        *known = if condition == '?' { *known } else { condition };
                    }
                }
                Step::Wait(millis) => host.wait(millis),
                Step::Restart => host.restart(),
                Step::Send(result) => {
                    for delivery in host.due() {
                        let inbox = &mut inboxes[usize::from(delivery.target.contains("service"))];
                        match result {
                            Some(status) => {
                                let result = DeliveryError::check(status, None);
                                if result.is_ok() {
                                    inbox.receive(&delivery);
                                }
                                prop_assert!(host.settle(&delivery, result).is_some());
                            }
                            None => {
                                // It may have arrived.
                                inbox.receive(&delivery);
                                lost += 1;
                            }
                        }
                    }
                }
            }
        }
        // The last reading has every server that is known.
        host.observe(&known.iter().collect::<String>());
        let end = host.now + 3 * 3_600_000;
        while let Some(next) = host.state.next_due(&host.targets).filter(|next| *next <= end) {
            host.now = host.now.max(next);
            for delivery in host.due() {
                inboxes[usize::from(delivery.target.contains("service"))].receive(&delivery);
                host.settle(&delivery, Ok(()));
            }
            host.restart();
        }
        prop_assert_eq!(host.state.next_due(&host.targets), None);

        for (condition, name) in known.iter().zip(["a", "b", "c"]) {
            let (down, up) = (format!("server_down {name}"), format!("server_up {name}"));
            match (condition, inboxes[0].last([&down, &up])) {
                ('-', last) => prop_assert_eq!(last, Some(0), "{}", name),
                ('+', last) => prop_assert_ne!(last, Some(0), "{}", name),
                _ => prop_assert_eq!(last_or_none(&inboxes[0], &down), None),
            }
        }
        let last = inboxes[1].last(["service_down", "service_up"]);
        if known == ['-'; 3] {
            prop_assert_eq!(last, Some(0));
        } else if known.contains(&'+') {
            prop_assert_ne!(last, Some(0));
        }
        let minutes = usize::try_from((host.now - start) / 60_000).unwrap();
        for inbox in &inboxes {
            let mut ids: Vec<&str> = inbox.0.iter().map(|(_, id)| id.as_str()).collect();
            let received = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert!(received - ids.len() <= lost, "{:?}", inbox.0);
            prop_assert!(ids.len() <= 3 * (reads + 1) && ids.len() <= 3 * (4 + 4 + minutes / 10 * 2), "{:?}", inbox.0);
        }
    }
}

fn last_or_none(inbox: &Inbox, name: &str) -> Option<usize> {
    inbox.last([name, name])
}
