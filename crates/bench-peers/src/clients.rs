//! Addresses of clients: a new one per selection, because a branch predictor would learn the result
//! of a single client.

/// A cycle of addresses.
pub(crate) struct Clients {
    addresses: Vec<String>,
    next: usize,
}

impl Clients {
    /// The number of addresses: a power of two, and small enough for the first-level cache.
    pub(crate) const COUNT: usize = 256;

    pub(crate) fn new() -> Self {
        let addresses = (0..Self::COUNT).map(|n| format!("203.0.{}.{}", 113 + n % 7, n)).collect();
        Self { addresses, next: 0 }
    }

    pub(crate) fn next(&mut self) -> &str {
        self.next = (self.next + 1) % Self::COUNT;
        &self.addresses[self.next]
    }
}
