//! What a target has logged so far, line by line.

use std::sync::Arc;

use tokio::sync::watch;

use crate::within;

/// A growing text. Clones share it; it may be written from any thread.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<watch::Sender<String>>);

impl Log {
    /// Adds one line.
    pub fn line(&self, line: &str) {
        self.0.send_modify(|text| {
            text.push_str(line);
            text.push('\n');
        });
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// The last lines, for a report.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let skipped = text.lines().count().saturating_sub(lines);
        text.lines().skip(skipped).map(|line| format!("{line}\n")).collect()
    }

    /// Waits, as long as it takes, until there is more than `shown` bytes; returns everything.
    pub async fn longer_than(&self, shown: usize) -> String {
        let mut changes = self.0.subscribe();
        let longer = changes.wait_for(|text| text.len() > shown);
        longer.await.expect("the log itself keeps the sender alive").clone()
    }

    /// Waits until the log, as a whole, satisfies `condition`; returns it.
    pub async fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let mut changes = self.0.subscribe();
        let wait = changes.wait_for(|text| condition(text));
        within(what, wait).await.expect("the log itself keeps the sender alive").clone()
    }
}
