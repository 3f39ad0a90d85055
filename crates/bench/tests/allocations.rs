//! Choosing allocates nothing: on a Worker it runs for every request, and a balancer that sheds
//! load must not itself press on memory.

use tunnel_balancer_bench::{Case, Chooser, Ours, Policy, pingora};

const CHOICES: u64 = 1000;

fn allocations(mut chooser: Chooser) -> u64 {
    let counted = allocation_counter::measure(|| {
        for _ in 0..CHOICES {
            assert!(chooser());
        }
    });
    counted.count_total
}

#[test]
fn neither_a_choice_nor_an_exchange_allocates() {
    for case in Case::even_and_uneven(&Policy::OURS) {
        assert_eq!(allocations(Ours::new(case).pick()), 0, "pick, {case}");
        assert_eq!(allocations(Ours::new(case).locked()), 0, "locked, {case}");
        assert_eq!(allocations(Ours::new(case).exchange()), 0, "exchange, {case}");
    }
}

#[test]
fn the_counting_counts() {
    for case in Case::even(&[Policy::RoundRobin]) {
        assert_eq!(allocations(pingora(case)), CHOICES, "{case}");
    }
}
