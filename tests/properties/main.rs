//! Properties: rules that hold for every path, history and clock, checked on random ones.
//!
//! A rule belongs here if it is about sequences of calls or about random services. Rules for a
//! single string belong to `crates/properties`, so that a fuzzer runs them, too. A failure prints
//! the smallest input that was found. Run one property with:
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test properties -- interleaved
//! ```

mod addressing;
mod arbitrary_text;
mod exchange;
mod interleaved;
mod probing;
mod selection;
mod snapshots;
mod subrequests;
mod yaml;
