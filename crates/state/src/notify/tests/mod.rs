//! Notifications as a host uses them.

mod changes;
mod formats;
mod random;
mod retries;

use super::*;

const SERVICE: &str = "chat.test";

/// Returns a reading of servers `a`, `b` and so on: `+` is up, `-` down, `?` unknown.
fn reading(conditions: &str) -> ServiceReading {
    let servers = conditions.chars().zip("abcdef".chars()).map(|(condition, name)| {
        let condition = match condition {
            '+' => ServerCondition::Up,
            '-' => ServerCondition::Down,
            _ => ServerCondition::Unknown,
        };
        let reason = (condition == ServerCondition::Down)
            .then(|| ("connect_failed".to_owned(), Some("no connection".to_owned())));
        ServerReading { name: name.to_string(), host: format!("{name}.example.net"), condition, since: None, reason }
    });
    let servers: Vec<ServerReading> = servers.collect();
    let serving = servers.iter().find(|server| server.condition != ServerCondition::Down);
    let serving = serving.map(|server| server.name.clone());
    ServiceReading { service: SERVICE.to_owned(), maintenance: false, servers, forced: None, serving }
}

fn target(kind: TargetKind) -> NotifyTarget {
    NotifyTarget::new(kind, "https://notify.test/topic")
}

/// A host with one target: it delivers what is due, and stores its state in between.
struct Host {
    targets: Vec<NotifyTarget>,
    state: Notifications,
    now: u64,
}

impl Host {
    fn new(targets: Vec<NotifyTarget>) -> Self {
        Self { targets, state: Notifications::default(), now: 1_700_000_000_000 }
    }

    fn observe(&mut self, conditions: &str) {
        self.state.observe(&self.targets, &reading(conditions), self.now);
    }

    /// Ends and starts again with the stored state.
    fn restart(&mut self) {
        let stored = serde_json::to_string(&self.state).unwrap();
        self.state = crate::json::from_str(&stored).unwrap();
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
    }

    fn due(&mut self) -> Vec<Delivery> {
        self.state.due(&self.targets, self.now)
    }

    fn settle(&mut self, delivery: &Delivery, result: Result<(), DeliveryError>) -> Option<DeliveryOutcome> {
        self.state.on_result(&delivery.id, result, self.now)
    }

    /// Delivers everything that becomes due for a time. Returns the times in seconds and the
    /// notices as `EVENT SUBJECT` or `heartbeat`.
    fn deliver(&mut self, millis: u64) -> Vec<(u64, String)> {
        let (start, end) = (self.now, self.now + millis);
        let mut delivered = Vec::new();
        loop {
            for delivery in self.due() {
                delivered.push(((self.now - start) / 1000, summary(&delivery)));
                assert_eq!(self.settle(&delivery, Ok(())), Some(DeliveryOutcome::Delivered));
                self.restart();
            }
            match self.state.next_due(&self.targets) {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        delivered
    }

    /// Returns what is delivered at once, without times.
    fn delivered(&mut self) -> Vec<String> {
        self.deliver(10_000).into_iter().map(|(_, notice)| notice).collect()
    }
}

/// Returns `EVENT SUBJECT`, and the number of changes unless it is 1.
fn summary(delivery: &Delivery) -> String {
    if delivery.method == "GET" {
        return "heartbeat".to_owned();
    }
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let changes = body["changes"].as_u64().unwrap();
    let changes = if changes == 1 { String::new() } else { format!(" x{changes}") };
    format!("{} {}{changes}", text("event"), text("server"))
}
