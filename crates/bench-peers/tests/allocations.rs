//! Selections do not allocate: they run for every request, also under overload.

use tunnel_balancer_bench_peers::{Case, Ours, Policy, Selector, pingora};

const SELECTIONS: u64 = 1000;

/// Selections after which all servers have responded. A server allocates its counters by minute
/// once, when it gets its first request.
const WARM_UP: u64 = 50_000;

fn allocations(mut selector: Selector) -> u64 {
    for _ in 0..WARM_UP {
        assert!(selector());
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..SELECTIONS {
            assert!(selector());
        }
    });
    counted.count_total
}

#[test]
fn selections_and_exchanges_do_not_allocate() {
    for case in Case::even_and_uneven(&Policy::OURS) {
        assert_eq!(allocations(Ours::new(case).pick()), 0, "pick, {case}");
        assert_eq!(allocations(Ours::new(case).locked()), 0, "locked, {case}");
        assert_eq!(allocations(Ours::new(case).exchange()), 0, "exchange, {case}");
    }
}

#[test]
fn allocations_of_pingora_are_counted() {
    for case in Case::even(&[Policy::RoundRobin]) {
        assert_eq!(allocations(pingora(case)), SELECTIONS, "{case}");
    }
}
