//! A gate that a case opens after an event.
//!
//! It replaces sleeping: a server responds when the case opens the gate, so the case decides the
//! order of events, not the clock.

use std::sync::Arc;

use tokio::sync::watch;

/// A gate, closed at first. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Creates a closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Opens the gate permanently.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open, without a timeout: the wait for the effect has one.
    pub async fn passed(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|open| *open).await.expect("the gate keeps the sender alive");
    }
}
