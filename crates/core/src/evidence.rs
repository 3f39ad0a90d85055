//! The newest that is known of a server: whom to ask when nobody is usable.
//!
//! Health and ejections change slowly, and on purpose: one lucky answer is no recovery. So while every server is thought away,
//! one of them may have been back for a second. What was heard of each last, from a request or a probe, whichever began
//! later, is the better guide then. And where the last word on all of them is bad, the one that has been left alone the
//! longest is asked: so they take turns, and whoever is back is found by as many requests as there are servers.

use std::time::Duration;

use crate::time::Timestamp;

/// The last word on one server. At first there is none, which speaks for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    is_bad: bool,
    /// When the request or the probe began that brought it.
    began: Timestamp,
    /// When the word came, or when the server was asked last.
    touched: Timestamp,
    /// Until when somebody is trying it, after a bad word.
    trying_until: Option<Timestamp>,
}

impl Evidence {
    pub(crate) const fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// Since when nobody has asked it or heard from it.
    pub(crate) const fn left_alone_since(&self) -> Timestamp {
        self.touched
    }

    /// Whether somebody is finding out if the last word, a bad one, still holds.
    pub(crate) fn is_being_tried(&self, now: Timestamp) -> bool {
        self.trying_until.is_some_and(|until| now < until)
    }

    /// Takes in that it is asked. Whoever asks finds out within `patience`, or not at all.
    pub(crate) fn on_begin(&mut self, now: Timestamp, patience: Duration) {
        if self.is_bad {
            self.touched = now;
            self.trying_until = Some(now + patience);
        }
    }

    /// Takes in that nobody waits for the outcome of an attempt any more.
    pub(crate) const fn on_abandoned(&mut self) {
        self.trying_until = None;
    }

    /// Takes in a word that comes now, from a request or a probe that began at `began`.
    pub(crate) fn hear(&mut self, is_bad: bool, began: Timestamp, now: Timestamp) {
        if began < self.began {
            return;
        }
        *self = Self { is_bad, began, touched: now, trying_until: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(6);

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_began_later_says_more_whenever_it_ends() {
        let mut evidence = Evidence::default();
        evidence.hear(false, at(200), at(300));
        evidence.hear(true, at(100), at(400));
        assert!(!evidence.is_bad(), "a request that hung, from before the answer");
        evidence.hear(true, at(200), at(500));
        assert!(evidence.is_bad(), "at the same time, and heard later");
    }

    #[test]
    fn somebody_tries_after_a_bad_word_until_the_next_one() {
        let mut evidence = Evidence::default();
        evidence.on_begin(at(0), PATIENCE);
        assert!(!evidence.is_being_tried(at(1)), "nobody doubts it");
        evidence.hear(true, at(0), at(10));
        assert_eq!(evidence.left_alone_since(), at(10));
        evidence.on_begin(at(20), PATIENCE);
        assert!(evidence.is_being_tried(at(6_019)) && !evidence.is_being_tried(at(6_020)));
        assert_eq!(evidence.left_alone_since(), at(20));
        evidence.hear(true, at(20), at(30));
        assert!(!evidence.is_being_tried(at(31)));
        evidence.on_begin(at(40), PATIENCE);
        evidence.on_abandoned();
        assert!(!evidence.is_being_tried(at(41)), "nobody waits for it");
    }
}
