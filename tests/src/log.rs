//! The log of a target.

use std::sync::Arc;

use tokio::sync::watch;

use crate::within;

/// A growing text. Clones share it, and any thread may write to it.
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

    /// Returns the log so far.
    pub fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// Returns the last lines, for a report.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let skipped = text.lines().count().saturating_sub(lines);
        text.lines().skip(skipped).map(|line| format!("{line}\n")).collect()
    }

    /// Waits until the log satisfies `condition`. Returns it.
    pub async fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let mut changes = self.0.subscribe();
        let wait = changes.wait_for(|text| condition(text));
        within(what, wait).await.expect("the log keeps the sender alive").clone()
    }

    /// Prints the log while it grows. Never returns.
    pub async fn print(&self) {
        let (mut changes, mut shown) = (self.0.subscribe(), 0);
        while let Ok(text) = changes.wait_for(|text| text.len() > shown).await {
            print!("{}", &text[shown..]);
            shown = text.len();
        }
    }
}
