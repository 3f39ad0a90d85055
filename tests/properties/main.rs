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

use proptest::prelude::*;
use tunnel_balancer_core::{Policy, PoolState, RequestMeta, ServerId, ServerSet, Standing, Timestamp};

/// Returns all policies that a file can name.
fn policies() -> Vec<Policy> {
    let policy = |name: &str| {
        let yaml = format!("services: {{ app.example: {{ servers: a.example, policy: {name} }} }}");
        tunnel_balancer_config::parse(&yaml).unwrap().services[0].policy.clone()
    };
    tunnel_balancer_config::policy_names().into_iter().map(policy).collect()
}

/// Checks that the standings of the servers agree with the selection of one of them.
fn check_standings(
    state: &PoolState,
    tried: ServerSet,
    request: &RequestMeta,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let standings = state.standings(tried, request, now);
    prop_assert_eq!(standings.len(), state.service().servers().len());
    let selectable: Vec<usize> = (0..standings.len()).filter(|index| standings[*index].is_selectable()).collect();
    let Ok(selection) = state.clone().pick(tried, request, now) else {
        prop_assert!(selectable.is_empty(), "nothing is selected: {standings:?}");
        return Ok(());
    };
    let standing = standings[selection.server.index()];
    prop_assert!(standing.is_selectable(), "{selection:?} is {standing:?}");
    prop_assert_eq!(selection.trial, standing == Standing::Trial);
    prop_assert_eq!(selection.last_resort, standing == Standing::LastResort);
    // Every other one is selected if the rest was tried. A last resort depends on what was tried.
    for index in selectable.iter().filter(|_| !selection.last_resort) {
        let rest = selectable.iter().filter(|other| *other != index);
        let tried = tried.union(rest.filter_map(|other| ServerId::new(*other)).collect());
        let alone = state.standings(tried, request, now)[*index];
        prop_assert!(alone.is_selectable(), "{index} is {alone:?} without the others of {standings:?}");
    }
    Ok(())
}
