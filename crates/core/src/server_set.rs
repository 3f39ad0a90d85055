//! Servers of a service by their position in its list, and sets of them.
//!
//! A set is one word of bits, so that a selection allocates nothing and set operations handle all
//! servers at once.

use std::fmt;

/// The position of a server in the list of its service. Stable for the lifetime of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u8);

impl ServerId {
    /// Returns the id of the server at `index` of the list; `None` from [`ServerSet::CAPACITY`] on.
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|id| usize::from(*id) < ServerSet::CAPACITY).map(Self)
    }

    /// Returns all possible ids in list order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..ServerSet::CAPACITY as u8).map(Self)
    }

    /// Returns the position in the list, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of servers of one service.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerSet(u64);

impl ServerSet {
    /// The largest number of servers of a service. Platforms allow fewer subrequests than that.
    pub const CAPACITY: usize = 64;

    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Returns the set of one server.
    pub const fn single(id: ServerId) -> Self {
        Self(1 << id.0)
    }

    /// Returns the set of the first `len` servers of a list.
    #[cfg(test)]
    pub(crate) const fn first_n(len: usize) -> Self {
        Self(if len < Self::CAPACITY { !(u64::MAX << len) } else { u64::MAX })
    }

    /// Returns the member at `position` in list order, from 0.
    pub fn nth(self, position: u32) -> Option<ServerId> {
        let mut rest = self.0;
        // Usually the set is a prefix of the list, and the position is the index.
        if rest & rest.wrapping_add(1) == 0 {
            return ServerId::new(position as usize).filter(|id| self.contains(*id));
        }
        for _ in 0..position {
            rest &= rest.wrapping_sub(1);
        }
        Self(rest).first()
    }

    /// Removes a server.
    pub const fn remove(&mut self, id: ServerId) {
        self.0 &= !(1 << id.0);
    }

    /// Inserts or removes a server.
    pub const fn set(&mut self, id: ServerId, is_member: bool) {
        if is_member { self.insert(id) } else { self.remove(id) }
    }

    /// Returns the servers that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Inserts a server.
    pub const fn insert(&mut self, id: ServerId) {
        self.0 |= 1 << id.0;
    }

    /// Returns whether the set contains `id`.
    pub const fn contains(self, id: ServerId) -> bool {
        self.0 & (1 << id.0) != 0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of servers in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns the servers that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the servers that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns this set, or `others` if it is empty.
    #[must_use]
    pub const fn or_else(self, others: Self) -> Self {
        if self.is_empty() { others } else { self }
    }

    /// Returns the first server in list order.
    pub fn first(self) -> Option<ServerId> {
        self.iter().next()
    }

    /// Returns the servers in list order.
    pub fn iter(self) -> impl Iterator<Item = ServerId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = u8::try_from(rest.trailing_zeros()).ok().filter(|bit| usize::from(*bit) < Self::CAPACITY)?;
            rest &= rest - 1;
            Some(ServerId(lowest))
        })
    }
}

impl FromIterator<ServerId> for ServerSet {
    fn from_iter<I: IntoIterator<Item = ServerId>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl fmt::Debug for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(ServerId::index)).finish()
    }
}
