//! pingora-load-balancing: its public `LoadBalancer::select`.

use std::hint::black_box;

use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, FNVHash, Random, RoundRobin};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::Selector;
use crate::case::{Case, Policy};
use crate::clients::Clients;

/// Returns a selector for the policy of a case.
///
/// # Panics
/// If pingora has no equivalent policy.
pub fn pingora(case: Case) -> Selector {
    match case.policy {
        Policy::RoundRobin => selector::<RoundRobin>(case),
        Policy::Random => selector::<Random>(case),
        Policy::HashText => selector::<Consistent>(case),
        Policy::FnvModulo => selector::<FNVHash>(case),
        policy => panic!("pingora has no equivalent of {policy:?}"),
    }
}

fn selector<S>(case: Case) -> Selector
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
    S::Config: Send + Sync,
{
    let backend = |index| {
        let address = format!("192.0.2.{}:443", index + 1);
        Backend::new_with_weight(&address, case.weight(index) as usize).expect("a valid address")
    };
    let balancer =
        LoadBalancer::<S>::from_backends(Backends::new(Static::new((0..case.servers).map(backend).collect())));
    crate::tower::now(balancer.update()).expect("a static list is ready").expect("a list with servers");

    let mut clients = Clients::new();
    let hashes = matches!(case.policy, Policy::HashText | Policy::FnvModulo);
    // The second argument limits the search for a healthy server. All are healthy.
    Box::new(move || {
        let key = if hashes { clients.next().as_bytes() } else { b"" };
        black_box(balancer.select(black_box(key), 256)).is_some()
    })
}
