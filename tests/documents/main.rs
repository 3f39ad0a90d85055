//! Documents: statements about the code in documents and comments, compared with the code.
//!
//! A check belongs here if it needs the sources of several crates. Run one of them with:
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test documents -- defaults
//! ```

mod defaults;
mod policies;
mod sources;
mod summary;
mod test_cases;
mod translations;
mod troubleshooting;
