//! Bounds the memory of bodies that are buffered for a retry.
//!
//! Clients decide how much memory buffered bodies take. So there is a limit for each body, from the
//! service's settings, that is checked by `Content-Length` before a byte is read, and a limit for
//! all bodies together. A body that does not fit is streamed and sent once. A platform may stop a
//! request without notice, so permits also expire.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::service::RetrySettings;
use crate::time::Timestamp;

/// The buffered bodies of all requests in progress.
#[derive(Debug)]
pub struct ReplayBuffer {
    capacity: u64,
    buffered: Mutex<Vec<Buffered>>,
    /// The id of the next permit. Ids are never reused: a permit may be released after it has
    /// expired.
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Buffered {
    bytes: u64,
    until: Timestamp,
    id: u64,
}

/// Permission to buffer one body. Return it with [`ReplayBuffer::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the memory stays reserved until the permit is released or expires"]
pub struct BufferPermit(u64);

impl Default for ReplayBuffer {
    /// 8 MiB, a sixteenth of the memory of a Worker's isolate.
    fn default() -> Self {
        Self::new(8 * 1024 * 1024)
    }
}

impl ReplayBuffer {
    /// Creates a buffer of `capacity` bytes.
    pub const fn new(capacity: u64) -> Self {
        Self { capacity, buffered: Mutex::new(Vec::new()), next_id: AtomicU64::new(0) }
    }

    /// Reserves memory for a body if its `Content-Length` is known and within the service's limit.
    /// Returns `None` if the body has to be streamed.
    pub fn reserve(
        &self,
        content_length: Option<u64>,
        settings: &RetrySettings,
        now: Timestamp,
    ) -> Option<BufferPermit> {
        let bytes = content_length.filter(|bytes| *bytes <= settings.max_buffered_body)?;
        self.reserve_bytes(bytes, now, settings.timeout)
    }

    /// Reserves memory for a body of `bytes` until it is released, at most for `ttl`.
    fn reserve_bytes(&self, bytes: u64, now: Timestamp, ttl: Duration) -> Option<BufferPermit> {
        let mut buffered = self.buffered.lock().unwrap_or_else(PoisonError::into_inner);
        buffered.retain(|other| now < other.until);
        let reserved = buffered.iter().map(|other| other.bytes).sum::<u64>();
        if reserved.saturating_add(bytes) > self.capacity {
            return None;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        buffered.push(Buffered { bytes, until: now + ttl, id });
        Some(BufferPermit(id))
    }

    /// Releases the memory of a body.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used up here")]
    pub fn release(&self, permit: BufferPermit) {
        let mut buffered = self.buffered.lock().unwrap_or_else(PoisonError::into_inner);
        buffered.retain(|other| other.id != permit.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(100);

    #[test]
    fn the_sum_of_all_bodies_is_bounded() {
        let buffer = ReplayBuffer::new(100);
        let first = buffer.reserve_bytes(60, Timestamp::ZERO, TTL).unwrap();
        assert_eq!(buffer.reserve_bytes(41, Timestamp::ZERO, TTL), None);
        let _second = buffer.reserve_bytes(40, Timestamp::ZERO, TTL).unwrap();
        buffer.release(first);
        assert!(buffer.reserve_bytes(60, Timestamp::ZERO, TTL).is_some());
        assert_eq!(buffer.reserve_bytes(u64::MAX, Timestamp::ZERO, TTL), None);
    }

    #[test]
    fn bod_04_only_a_known_length_within_the_limit_is_buffered() {
        let (buffer, settings) = (ReplayBuffer::default(), RetrySettings::default());
        let fits = |length| buffer.reserve(length, &settings, Timestamp::ZERO).is_some();
        assert!(fits(Some(0)) && fits(Some(64 * 1024)), "BOD-01");
        assert!(!fits(Some(64 * 1024 + 1)), "BOD-02");
        assert!(!fits(None), "BOD-03");
    }

    #[test]
    fn permits_expire() {
        let buffer = ReplayBuffer::new(100);
        let lost = buffer.reserve_bytes(100, Timestamp::ZERO, TTL).unwrap();
        assert_eq!(buffer.reserve_bytes(1, Timestamp::from_millis(99_999), TTL), None);
        let now = Timestamp::from_millis(100_000);
        let _other = buffer.reserve_bytes(100, now, TTL).unwrap();
        buffer.release(lost);
        assert_eq!(buffer.reserve_bytes(1, now, TTL), None, "an expired permit releases no other memory");
    }
}
