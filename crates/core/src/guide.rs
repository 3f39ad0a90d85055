//! The book of this crate. Each chapter begins where the one before it ends, and its examples are
//! tests.

#[doc = include_str!("../guide/choose.md")]
pub mod choose {}

#[doc = include_str!("../guide/watch.md")]
pub mod watch {}

#[doc = include_str!("../guide/retry.md")]
pub mod retry {}

#[doc = include_str!("../guide/share.md")]
pub mod share {}

#[doc = include_str!("../guide/simulate.md")]
pub mod simulate {}
