//! Measures every contestant by the same loop, and counts what it allocates. `cargo xtask bench`
//! reads the output.
//!
//! One sample is the mean of a thousand choices, because a clock cannot time one; the median of a
//! hundred samples is what counts, because other programs on the machine make some slower.

use divan::{AllocProfiler, Bencher};
use tunnel_balancer_bench::{Case, Chooser, Floor, Ours, Policy, pingora, tower};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::Divan::default().sample_size(1000).sample_count(100).config_with_args().main();
}

fn measure(bencher: Bencher<'_, '_>, mut chooser: Chooser) {
    assert!(chooser(), "every server is well, so there is a choice");
    bencher.bench_local(chooser);
}

#[divan::bench(args = Case::even_and_uneven(&Policy::OURS))]
fn pick(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, Ours::new(*case).pick());
}

#[divan::bench(args = Case::even_and_uneven(&Policy::OURS))]
fn locked(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, Ours::new(*case).locked());
}

#[divan::bench(args = Case::even_and_uneven(&Policy::OURS))]
fn exchange(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, Ours::new(*case).exchange());
}

#[divan::bench(name = "pingora", args = Case::even_and_uneven(&[Policy::RoundRobin, Policy::Random, Policy::HashText, Policy::FnvModulo]))]
fn pingora_select(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, pingora(*case));
}

#[divan::bench(name = "tower", args = Case::even(&[Policy::LeastRequests, Policy::Latency]))]
fn tower_call(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, tower(*case));
}

#[divan::bench(args = Floor::ALL)]
fn floor(bencher: Bencher<'_, '_>, floor: &Floor) {
    measure(bencher, floor.chooser());
}
