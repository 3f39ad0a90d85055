//! Which servers: one of a service's list, or some of them.
//!
//! A set is a word of bits, so that a choice among servers allocates nothing and asks a question of all of them at once.

use std::fmt;

/// A server's place in its service's list. Stable for the life of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u8);

impl ServerId {
    /// The id of the server at `index` of its service's list; none at or past [`ServerSet::CAPACITY`].
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|id| usize::from(*id) < ServerSet::CAPACITY).map(Self)
    }

    /// All there can be, in list order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..ServerSet::CAPACITY as u8).map(Self)
    }

    /// The place in the list, counted from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of servers of one service. A word of bits, so that choosing allocates nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerSet(u64);

impl ServerSet {
    /// How many servers a service can have: a platform allows fewer subrequests than that.
    pub const CAPACITY: usize = 64;

    /// The set of none.
    pub const EMPTY: Self = Self(0);

    /// The set of one.
    pub const fn single(id: ServerId) -> Self {
        Self(1 << id.0)
    }

    /// The first `len` of a list.
    pub const fn first_n(len: usize) -> Self {
        Self(if len < Self::CAPACITY { !(u64::MAX << len) } else { u64::MAX })
    }

    /// The one at `position` in list order, counted from 0.
    pub fn nth(self, position: u32) -> Option<ServerId> {
        let mut rest = self.0;
        // Mostly everybody is in, so that nobody has to be counted.
        if rest & rest.wrapping_add(1) == 0 {
            return ServerId::new(position as usize).filter(|id| self.contains(*id));
        }
        for _ in 0..position {
            rest &= rest.wrapping_sub(1);
        }
        Self(rest).first()
    }

    /// Takes one out.
    pub const fn remove(&mut self, id: ServerId) {
        self.0 &= !(1 << id.0);
    }

    /// Puts one in or takes it out.
    pub const fn set(&mut self, id: ServerId, is_in: bool) {
        if is_in { self.insert(id) } else { self.remove(id) }
    }

    /// Those that are also in `other`.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Adds one.
    pub const fn insert(&mut self, id: ServerId) {
        self.0 |= 1 << id.0;
    }

    /// Whether `id` is in.
    pub const fn contains(self, id: ServerId) -> bool {
        self.0 & (1 << id.0) != 0
    }

    /// Whether nothing is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, or `others` where nobody is in.
    #[must_use]
    pub const fn or_else(self, others: Self) -> Self {
        if self.is_empty() { others } else { self }
    }

    /// The first in list order.
    pub fn first(self) -> Option<ServerId> {
        self.iter().next()
    }

    /// In list order.
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
