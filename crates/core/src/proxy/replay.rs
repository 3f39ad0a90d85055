//! Bounds the memory of bodies that are buffered for a retry.
//!
//! Clients decide how much memory buffered bodies take. So there is a limit for each body, from the
//! service's settings, that is checked by `Content-Length` before a byte is read, a limit for all
//! bodies together, and a share of it for each client. A body of unknown length is read up to its
//! limit. A body that does not fit is streamed and sent once. A platform may stop a request without
//! notice, so permits also expire.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::service::RetrySettings;
use crate::time::Timestamp;

/// The buffered bodies of all requests in progress. Clones share the memory.
#[derive(Clone, Debug)]
pub struct ReplayBuffer {
    capacity: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The bodies by the slots of their permits.
    bodies: Vec<Option<Buffered>>,
    /// The slots without a body.
    free: Vec<usize>,
    /// The bytes of all bodies.
    bytes: u64,
    /// The bytes of each client's bodies, in the order of the clients.
    clients: Vec<(String, u64)>,
    /// The id of the next permit. Ids are never reused, unlike slots: a permit may be released
    /// after it has expired.
    next_id: u64,
}

#[derive(Debug)]
struct Buffered {
    /// The id of its permit.
    id: u64,
    bytes: u64,
    limit: u64,
    until: Timestamp,
    /// `None`: its client is not limited to a share.
    client: Option<String>,
}

/// The memory of one buffered body. It is released when the permit is dropped.
#[derive(Debug)]
#[must_use = "the memory is released when the permit is dropped"]
pub struct BufferPermit {
    slot: usize,
    id: u64,
    buffer: ReplayBuffer,
}

impl Default for ReplayBuffer {
    /// 8 MiB, a sixteenth of the memory of a Worker's isolate.
    fn default() -> Self {
        Self::new(8 * 1024 * 1024)
    }
}

impl ReplayBuffer {
    /// A body of unknown length that pauses for this time is streamed from then on: the client may
    /// wait for a response to the part that it has sent.
    pub const PAUSE: Duration = Duration::from_millis(200);

    /// The share of a client: one of so many parts of the capacity.
    const SHARES: u64 = 8;

    /// Creates a buffer of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, state: Arc::default() }
    }

    /// Reserves memory for a body of this `Content-Length`, and the service's limit for one of
    /// unknown length. Returns `None` if the body has to be streamed. For platforms that read whole
    /// bodies.
    pub fn reserve(
        &self,
        content_length: Option<u64>,
        settings: &RetrySettings,
        now: Timestamp,
    ) -> Option<BufferPermit> {
        let permit = self.start(content_length, None, settings, now)?;
        let bytes = content_length.unwrap_or(settings.max_buffered_body);
        permit.grow(bytes, now).then_some(permit)
    }

    /// Starts to buffer a body, unless its `Content-Length` is above the service's limit. Memory is
    /// reserved by [`BufferPermit::grow`], for bytes that have arrived. `client` is limited to its
    /// share. `None`: no client is.
    pub fn start(
        &self,
        content_length: Option<u64>,
        client: Option<&str>,
        settings: &RetrySettings,
        now: Timestamp,
    ) -> Option<BufferPermit> {
        let limit = settings.max_buffered_body;
        let is_within = content_length.map_or(limit > 0, |bytes| bytes <= limit);
        let body =
            Buffered { id: 0, bytes: 0, limit, until: now + settings.timeout, client: client.map(str::to_owned) };
        is_within.then(|| self.add(body))
    }

    /// Returns whether more than half of the memory is reserved. Bodies that pause should then be
    /// streamed.
    pub fn is_scarce(&self) -> bool {
        self.state().bytes > self.capacity / 2
    }

    fn add(&self, body: Buffered) -> BufferPermit {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        let slot = state.add(Buffered { id, ..body });
        BufferPermit { slot, id, buffer: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferPermit {
    /// Reserves memory for further bytes of the body. Returns whether they fit. Otherwise the body
    /// has to be streamed.
    pub fn grow(&self, bytes: u64, now: Timestamp) -> bool {
        let capacity = self.buffer.capacity;
        let mut state = self.buffer.state();
        if state.bytes.saturating_add(bytes) > capacity {
            state.remove_expired(now);
        }
        let body = state.bodies.get(self.slot).and_then(Option::as_ref).filter(|body| body.id == self.id);
        let Some(body) = body else { return false };
        let of_client = body.client.as_ref().map_or(0, |client| state.reserved_by(client));
        let is_within = |reserved: u64, limit: u64| reserved.checked_add(bytes).is_some_and(|sum| sum <= limit);
        let fits_share = body.client.is_none() || is_within(of_client, capacity / ReplayBuffer::SHARES);
        if !fits_share || !is_within(state.bytes, capacity) || !is_within(body.bytes, body.limit) {
            return false;
        }
        let client = body.client.clone();
        if let Some(Some(body)) = state.bodies.get_mut(self.slot) {
            body.bytes += bytes;
        }
        state.bytes += bytes;
        if let Some(client) = client {
            state.set_reserved(client, of_client + bytes);
        }
        true
    }

    /// Returns whether memory is scarce: see [`ReplayBuffer::is_scarce`].
    pub fn is_scarce(&self) -> bool {
        self.buffer.is_scarce()
    }
}

impl Drop for BufferPermit {
    fn drop(&mut self) {
        self.buffer.state().remove(self.slot, self.id);
    }
}

impl State {
    /// Returns the slot of the body.
    fn add(&mut self, body: Buffered) -> usize {
        let slot = self.free.pop().unwrap_or(self.bodies.len());
        match self.bodies.get_mut(slot) {
            Some(free) => *free = Some(body),
            None => self.bodies.push(Some(body)),
        }
        slot
    }

    fn remove(&mut self, slot: usize, id: u64) {
        let body = self.bodies.get_mut(slot).and_then(|body| body.take_if(|body| body.id == id));
        let Some(body) = body else { return };
        self.free.push(slot);
        self.bytes -= body.bytes;
        if let Some(client) = body.client {
            let reserved = self.reserved_by(&client) - body.bytes;
            self.set_reserved(client, reserved);
        }
    }

    fn remove_expired(&mut self, now: Timestamp) {
        for slot in 0..self.bodies.len() {
            let body = self.bodies.get(slot).and_then(Option::as_ref);
            if let Some(id) = body.filter(|body| body.until <= now).map(|body| body.id) {
                self.remove(slot, id);
            }
        }
    }

    fn reserved_by(&self, client: &str) -> u64 {
        let index = self.find_client(client).ok();
        index.and_then(|index| self.clients.get(index)).map_or(0, |(_, bytes)| *bytes)
    }

    fn set_reserved(&mut self, client: String, bytes: u64) {
        match self.find_client(&client) {
            Ok(index) if bytes == 0 => drop(self.clients.remove(index)),
            Ok(index) => {
                if let Some((_, reserved)) = self.clients.get_mut(index) {
                    *reserved = bytes;
                }
            }
            Err(index) if bytes > 0 => self.clients.insert(index, (client, bytes)),
            Err(_) => {}
        }
    }

    /// Returns the index of a client, or where it would be inserted.
    fn find_client(&self, client: &str) -> Result<usize, usize> {
        self.clients.binary_search_by(|(other, _)| other.as_str().cmp(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RetrySettings {
        RetrySettings { max_buffered_body: 1000, ..RetrySettings::default() }
    }

    #[test]
    fn the_sum_of_all_bodies_is_bounded() {
        let (buffer, settings) = (ReplayBuffer::new(100), settings());
        let reserve = |bytes| buffer.reserve(Some(bytes), &settings, Timestamp::ZERO);
        let first = reserve(60).unwrap();
        assert!(reserve(41).is_none());
        let _second = reserve(40).unwrap();
        drop(first);
        let _third = reserve(60).unwrap();
        assert_eq!(buffer.state().bodies.iter().flatten().count(), 2);
    }

    #[test]
    fn the_sum_does_not_overflow() {
        let (buffer, settings) =
            (ReplayBuffer::new(u64::MAX), RetrySettings { max_buffered_body: u64::MAX, ..settings() });
        let _first = buffer.reserve(Some(u64::MAX), &settings, Timestamp::ZERO).unwrap();
        assert!(buffer.reserve(Some(1), &settings, Timestamp::ZERO).is_none());
    }

    #[test]
    fn memory_is_reserved_for_bytes_that_have_arrived() {
        let (buffer, settings, now) = (ReplayBuffer::new(800), settings(), Timestamp::ZERO);
        let start = |client| buffer.start(Some(100), client, &settings, now).unwrap();
        let announced: Vec<_> = (0..50).map(|_| start(None)).collect();
        assert!(announced.iter().all(|permit| permit.grow(1, now)));
        let body = start(None);
        assert!(body.grow(100, now) && !buffer.is_scarce());
        assert!(body.grow(300, now) && buffer.is_scarce());
        assert!(!body.grow(351, now) && body.grow(350, now), "all of the memory");
        assert!(!body.grow(u64::MAX, now));
        assert!(buffer.start(Some(1001), None, &settings, now).is_none());
    }

    #[test]
    fn a_client_is_limited_to_its_share() {
        let (buffer, settings, now) = (ReplayBuffer::new(800), settings(), Timestamp::ZERO);
        let start = |client| buffer.start(Some(100), Some(client), &settings, now).unwrap();
        let (first, second, other) = (start("192.0.2.1"), start("192.0.2.1"), start("192.0.2.2"));
        assert!(first.grow(60, now) && !second.grow(41, now) && second.grow(40, now));
        assert!(other.grow(100, now), "another client");
        drop(first);
        assert!(second.grow(60, now));
        drop(second);
        drop(other);
        assert!(buffer.state().clients.is_empty());
        assert_eq!(buffer.state().bytes, 0);
    }

    #[test]
    fn bod_04_a_length_above_the_limit_is_not_buffered() {
        let (buffer, mut settings) = (ReplayBuffer::new(400 * 1024), RetrySettings::default());
        let fits = |length| {
            let started = buffer.start(length, None, &settings, Timestamp::ZERO).is_some();
            let reserved = buffer.reserve(length, &settings, Timestamp::ZERO).is_some();
            assert_eq!(started, reserved);
            reserved
        };
        assert!(fits(Some(0)) && fits(Some(64 * 1024)), "BOD-01");
        assert!(!fits(Some(64 * 1024 + 1)), "BOD-02");
        assert!(fits(None), "BOD-03");
        let now = Timestamp::ZERO;
        let unknown = buffer.start(None, None, &settings, now).unwrap();
        assert!(unknown.grow(64 * 1024, now) && !unknown.grow(1, now), "BOD-03");
        settings.max_buffered_body = 0;
        assert!(buffer.start(None, None, &settings, now).is_none());
    }

    #[test]
    fn permits_expire() {
        let (buffer, settings) = (ReplayBuffer::new(100), settings());
        let reserve = |bytes, now| buffer.reserve(Some(bytes), &settings, now);
        let lost = reserve(100, Timestamp::ZERO).unwrap();
        assert!(reserve(1, Timestamp::from_millis(99_999)).is_none());
        let now = Timestamp::from_millis(100_000);
        let _other = reserve(100, now).unwrap();
        assert!(!lost.grow(1, now));
        drop(lost);
        assert!(reserve(1, now).is_none(), "an expired permit releases no other memory");
    }
}
