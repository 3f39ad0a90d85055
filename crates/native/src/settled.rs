//! Contents of files that are polled.

/// The contents that are in use, and those of the last poll.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    /// What was applied or rejected last.
    applied: T,
    last_read: T,
}

impl<T: Clone + PartialEq> Settled<T> {
    /// Starts with contents that are applied.
    pub(crate) fn new(contents: T) -> Self {
        Self { applied: contents.clone(), last_read: contents }
    }

    /// Returns the contents that were applied last.
    pub(crate) const fn applied(&self) -> &T {
        &self.applied
    }

    /// Records the contents of a poll. Returns whether they are to be applied: they changed and
    /// were the same in two polls. An editor may still be writing, and half a file can be valid.
    pub(crate) fn poll(&mut self, contents: T) -> bool {
        let is_settled = contents == self.last_read;
        self.last_read = contents;
        let is_new = is_settled && self.last_read != self.applied;
        if is_new {
            self.applied = self.last_read.clone();
        }
        is_new
    }

    /// Records contents that are to be applied, changed or not.
    pub(crate) fn reload(&mut self, contents: T) {
        *self = Self::new(contents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_applied_once_they_were_the_same_twice() {
        let mut file = Settled::new(1);
        assert!(!file.poll(1) && !file.poll(1), "no change");
        assert!(!file.poll(2) && !file.poll(3), "still being written");
        assert!(file.poll(3));
        assert!(!file.poll(3), "applied");
        assert!(!file.poll(4) && !file.poll(3) && !file.poll(3), "the change was undone");
        file.reload(5);
        assert_eq!(*file.applied(), 5);
        assert!(!file.poll(5));
    }
}
