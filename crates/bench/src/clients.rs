//! Clients to tell apart: a new one for each choice, as no proxy sees one client only, and a branch
//! predictor would learn the answer for it.

/// Addresses, round and round.
pub(crate) struct Clients {
    addresses: Vec<String>,
    next: usize,
}

impl Clients {
    /// A power of two, and few enough for the nearest cache.
    pub(crate) const MANY: usize = 256;

    pub(crate) fn new() -> Self {
        let addresses = (0..Self::MANY).map(|n| format!("203.0.{}.{}", 113 + n % 7, n)).collect();
        Self { addresses, next: 0 }
    }

    pub(crate) fn next(&mut self) -> &str {
        self.next = (self.next + 1) % Self::MANY;
        &self.addresses[self.next]
    }
}
