//! Messages of a monitor, or of another proxy, to the Worker.
//!
//! A message is a JSON document with a signature, which both sides make with the same secret. The
//! signature includes the time, so that a recorded message is refused later: too old, or not newer
//! than the last one of its sender.

use serde::{Deserialize, Serialize};

use crate::{NameMap, SharedState, json, signature};

/// The path of the Worker that accepts messages, with POST. The response is the [`SharedState`] of
/// the Worker.
pub const PUSH_PATH: &str = "/__balancer/push";

/// The header with the signature: [`sign`].
pub const SIGNATURE_HEADER: &str = "x-balancer-signature";

/// The purpose of the signatures.
const PURPOSE: &str = "push";

/// The longest message, in bytes: some kilobytes for each of a hundred services.
pub const MAX_PUSH_BYTES: usize = 1024 * 1024;

/// The content of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Push {
    /// The name of the sender, at most [`MAX_SENDER`](Self::MAX_SENDER) bytes. Two senders need
    /// different names.
    pub sender: String,
    /// What the sender knows.
    pub state: SharedState,
}

impl Push {
    /// The longest name of a sender, in bytes.
    pub const MAX_SENDER: usize = 64;

    /// Creates a message.
    pub fn new(sender: impl Into<String>, state: SharedState) -> Self {
        Self { sender: sender.into(), state }
    }
}

/// Returns the signature of a message: its time in milliseconds since 1970, and HMAC-SHA-256 over
/// the time and the body, in hexadecimal.
pub fn sign(key: &[u8], sent_at: u64, body: &[u8]) -> String {
    format!("t={sent_at},v1={}", signature::sign(key, PURPOSE, sent_at, body))
}

/// Which messages were accepted. Refuses those that are forged, old or repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inbox {
    /// The time of the last message, by sender.
    last: NameMap<u64>,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The signature is missing, or was made with another secret.
    #[error("the signature is missing or invalid")]
    InvalidSignature,
    /// The message is older than 30 s, or its time is 30 s ahead.
    #[error("the message is older than 30 s, or the clocks differ by more")]
    WrongTime,
    /// A message of the same time or a later one was accepted from this sender.
    #[error("the message was received before")]
    Replayed,
    /// The body is no message.
    #[error("the body is not a valid message")]
    InvalidBody,
}

impl Inbox {
    /// The largest difference between the time of a message and the time of its arrival.
    pub const MAX_AGE_MS: u64 = 30_000;

    /// The largest number of senders within this time.
    const MAX_SENDERS: usize = 64;

    /// Returns the content of a message that arrived at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// If it is refused.
    pub fn accept(&mut self, key: &[u8], signature: &str, body: &[u8], now: u64) -> Result<Push, PushError> {
        let (sent_at, given) = signature::parse(signature).ok_or(PushError::InvalidSignature)?;
        if !signature::is_valid(key, PURPOSE, sent_at, body, given) {
            return Err(PushError::InvalidSignature);
        }
        if sent_at.abs_diff(now) > Self::MAX_AGE_MS {
            return Err(PushError::WrongTime);
        }
        let push: Push = parse(body).ok_or(PushError::InvalidBody)?;
        if push.sender.is_empty() || push.sender.len() > Push::MAX_SENDER {
            return Err(PushError::InvalidBody);
        }
        // Older messages are refused by their time.
        self.last.retain(|_, last| last.saturating_add(Self::MAX_AGE_MS) >= now);
        if self.last.get(&push.sender).is_some_and(|last| sent_at <= *last) {
            return Err(PushError::Replayed);
        }
        if self.last.len() >= Self::MAX_SENDERS && !self.last.contains_key(&push.sender) {
            return Err(PushError::InvalidBody);
        }
        self.last.insert(push.sender.clone(), sent_at);
        Ok(push)
    }
}

fn parse(body: &[u8]) -> Option<Push> {
    json::from_str(std::str::from_utf8(body).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";

    fn message(sender: &str) -> Vec<u8> {
        serde_json::to_vec(&Push::new(sender, SharedState { written_at: 7, ..SharedState::default() })).unwrap()
    }

    #[test]
    fn forged_old_and_replayed_messages_are_refused() {
        let (body, now) = (message("home"), 1_000_000);
        let signature = sign(KEY, now, &body);
        let mut inbox = Inbox::default();
        let refused = |signature: &str, body: &[u8], at| inbox.clone().accept(KEY, signature, body, at).err();
        assert_eq!(refused(&signature, &message("office"), now), Some(PushError::InvalidSignature));
        assert_eq!(refused(&sign(b"another key 1234", now, &body), &body, now), Some(PushError::InvalidSignature));
        assert_eq!(refused(&signature.replace("t=1", "t=2"), &body, now), Some(PushError::InvalidSignature));
        for signature in ["", "t=,v1=", "t=1000000", "v1=", "t=1000000,v1=", "t=-1,v1=00"] {
            assert_eq!(refused(signature, &body, now), Some(PushError::InvalidSignature), "{signature}");
        }
        assert_eq!(refused(&signature, &body, now + 30_001), Some(PushError::WrongTime));
        assert_eq!(refused(&signature, &body, now - 30_001), Some(PushError::WrongTime));
        assert_eq!(refused(&sign(KEY, now, b"{"), b"{", now), Some(PushError::InvalidBody));
        assert_eq!(refused(&sign(KEY, now, b"{}"), b"{}", now), Some(PushError::InvalidBody), "no sender");

        assert_eq!(inbox.accept(KEY, &signature, &body, now + 30_000).map(|push| push.state.written_at), Ok(7));
        assert_eq!(inbox.accept(KEY, &signature, &body, now + 30_000), Err(PushError::Replayed));
        let earlier = sign(KEY, now - 1, &body);
        assert_eq!(inbox.accept(KEY, &earlier, &body, now), Err(PushError::Replayed), "it was sent before");
        let other = message("office");
        assert!(inbox.accept(KEY, &sign(KEY, now - 1, &other), &other, now).is_ok(), "of another sender");
        assert!(inbox.accept(KEY, &sign(KEY, now + 1, &body), &body, now).is_ok());
    }

    #[test]
    fn the_number_of_senders_is_bounded() {
        let mut inbox = Inbox::default();
        let mut accept = |sender: &str, now| {
            let body = message(sender);
            inbox.accept(KEY, &sign(KEY, now, &body), &body, now)
        };
        for n in 0..64 {
            assert!(accept(&n.to_string(), 1_000_000).is_ok());
        }
        assert_eq!(accept("another", 1_000_000), Err(PushError::InvalidBody));
        assert!(accept("another", 1_030_001).is_ok(), "the others have not sent for 30 s");
    }
}
