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

use tunnel_balancer_core::Policy;

/// Returns all policies that a file can name.
fn policies() -> Vec<Policy> {
    let policy = |name: &str| {
        let yaml = format!("services: {{ app.example: {{ servers: a.example, policy: {name} }} }}");
        tunnel_balancer_config::parse(&yaml).unwrap().services[0].policy.clone()
    };
    tunnel_balancer_config::policy_names().into_iter().map(policy).collect()
}
