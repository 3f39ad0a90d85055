//! Bodies kept so that a request can be sent twice, within bounds.
//!
//! Every kept body is memory that a client chose to make us hold. So there is a limit for each (from the service's
//! settings, decided by `Content-Length` before a byte is read) and one for all together; what does not fit streams through
//! once. Cloudflare may stop a request without telling, so a reservation also ends by time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::service::RetrySettings;
use crate::time::Timestamp;

/// The bytes of bodies kept at this moment.
#[derive(Debug)]
pub struct ReplayBuffer {
    capacity: u64,
    kept: Mutex<Vec<Kept>>,
    /// Of the next reservation. Never used twice: a reservation may be released long after its time.
    next: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    bytes: u64,
    until: Timestamp,
    id: u64,
}

/// Room for one body. Give it back with [`ReplayBuffer::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "room that is not released stays taken until its time is over"]
pub struct BufferPermit(u64);

impl Default for ReplayBuffer {
    /// Room for 8 MiB: a sixteenth of what a Worker's isolate may use.
    fn default() -> Self {
        Self::new(8 * 1024 * 1024)
    }
}

impl ReplayBuffer {
    /// Room for `capacity` bytes.
    pub const fn new(capacity: u64) -> Self {
        Self { capacity, kept: Mutex::new(Vec::new()), next: AtomicU64::new(0) }
    }

    /// Room for a body whose `Content-Length` is known and within the service's limit; `None` when it has to stream.
    ///
    /// Decided before a byte of it is read.
    pub fn keep(&self, content_length: Option<u64>, settings: &RetrySettings, now: Timestamp) -> Option<BufferPermit> {
        let bytes = content_length.filter(|bytes| *bytes <= settings.max_buffered_body)?;
        self.reserve(bytes, now, settings.timeout)
    }

    /// Room for a body of `bytes`, for `patience` at most; `None` when there is not enough.
    fn reserve(&self, bytes: u64, now: Timestamp, patience: Duration) -> Option<BufferPermit> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| now < other.until);
        let taken = kept.iter().map(|other| other.bytes).sum::<u64>();
        if taken.saturating_add(bytes) > self.capacity {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        kept.push(Kept { bytes, until: now + patience, id });
        Some(BufferPermit(id))
    }

    /// Gives room back.
    #[expect(clippy::needless_pass_by_value, reason = "a reservation is used up here")]
    pub fn release(&self, reservation: BufferPermit) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.id != reservation.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(100);

    #[test]
    fn the_sum_of_all_bodies_is_bounded() {
        let memory = ReplayBuffer::new(100);
        let first = memory.reserve(60, Timestamp::ZERO, PATIENCE).unwrap();
        assert_eq!(memory.reserve(41, Timestamp::ZERO, PATIENCE), None);
        let _second = memory.reserve(40, Timestamp::ZERO, PATIENCE).unwrap();
        memory.release(first);
        assert!(memory.reserve(60, Timestamp::ZERO, PATIENCE).is_some());
        assert_eq!(memory.reserve(u64::MAX, Timestamp::ZERO, PATIENCE), None);
    }

    #[test]
    fn bod_04_only_a_known_length_within_the_limit_is_kept() {
        let (memory, settings) = (ReplayBuffer::default(), RetrySettings::default());
        let kept = |length| memory.keep(length, &settings, Timestamp::ZERO).is_some();
        assert!(kept(Some(0)) && kept(Some(64 * 1024)), "BOD-01");
        assert!(!kept(Some(64 * 1024 + 1)), "BOD-02");
        assert!(!kept(None), "BOD-03");
    }

    #[test]
    fn a_request_that_never_reports_back_gives_its_room_back_in_time() {
        let memory = ReplayBuffer::new(100);
        let lost = memory.reserve(100, Timestamp::ZERO, PATIENCE).unwrap();
        assert_eq!(memory.reserve(1, Timestamp::from_millis(99_999), PATIENCE), None);
        let now = Timestamp::from_millis(100_000);
        let _other = memory.reserve(100, now, PATIENCE).unwrap();
        memory.release(lost);
        assert_eq!(memory.reserve(1, now, PATIENCE), None, "what is given back too late is nobody else's");
    }
}
