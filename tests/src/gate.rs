//! A door that a case opens when it has seen enough.
//!
//! It replaces sleeping: instead of "be slow for two seconds" a server is told "answer when I open
//! the gate", so that the order of events is the case's and not the clock's.

use std::sync::Arc;

use tokio::sync::watch;

/// A one-way door, closed at first. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that holds everybody back until [`open`](Self::open).
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open. Has no deadline of its own: the side that waits for the effect
    /// has one.
    pub async fn passed(&self) {
        let mut door = self.0.subscribe();
        door.wait_for(|open| *open).await.expect("the gate itself keeps the sender alive");
    }
}
