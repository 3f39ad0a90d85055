//! Measures the time and the allocations of every balancer in the same loop. `cargo xtask bench`
//! reads the output.
//!
//! One sample is the mean of a thousand selections, because a single one is too short for the
//! clock. The result is the median of a hundred samples, because other programs delay some of them.

use divan::{AllocProfiler, Bencher};
use tunnel_balancer_bench_peers::{Case, Floor, HashCrate, Ours, Policy, Selector, pingora, tower};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::Divan::default().sample_size(1000).sample_count(100).config_with_args().main();
}

fn measure(bencher: Bencher<'_, '_>, mut selector: Selector) {
    assert!(selector(), "all servers are healthy, so one is selected");
    bencher.bench_local(selector);
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

#[divan::bench(name = "pingora", args = Case::even_and_uneven(&Policy::PINGORA))]
fn pingora_select(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, pingora(*case));
}

#[divan::bench(name = "tower", args = Case::even(&[Policy::LeastRequests, Policy::Latency]))]
fn tower_call(bencher: Bencher<'_, '_>, case: &Case) {
    measure(bencher, tower(*case));
}

#[divan::bench(args = HashCrate::all())]
fn crates(bencher: Bencher<'_, '_>, hash: &HashCrate) {
    measure(bencher, hash.selector());
}

#[divan::bench(args = Floor::ALL)]
fn floor(bencher: Bencher<'_, '_>, floor: &Floor) {
    measure(bencher, floor.selector());
}
