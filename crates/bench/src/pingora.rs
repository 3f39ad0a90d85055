//! pingora-load-balancing, by its public `LoadBalancer::select`.

use std::hint::black_box;

use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, FNVHash, Random, RoundRobin};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::Chooser;
use crate::case::{Case, Policy};
use crate::clients::Clients;

/// The like of a case's policy.
///
/// # Panics
/// For a policy that pingora has not.
pub fn pingora(case: Case) -> Chooser {
    match case.policy {
        Policy::RoundRobin => chooser::<RoundRobin>(case),
        Policy::Random => chooser::<Random>(case),
        Policy::HashText => chooser::<Consistent>(case),
        Policy::FnvModulo => chooser::<FNVHash>(case),
        policy => panic!("pingora has nothing like {policy:?}"),
    }
}

fn chooser<S>(case: Case) -> Chooser
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
    S::Config: Send + Sync,
{
    let backend = |index| {
        let address = format!("192.0.2.{}:443", index + 1);
        Backend::new_with_weight(&address, case.weight(index) as usize).expect("it is an address")
    };
    let balancer =
        LoadBalancer::<S>::from_backends(Backends::new(Static::new((0..case.servers).map(backend).collect())));
    crate::tower::now(balancer.update()).expect("a list that is there needs no waiting").expect("it has servers");

    let mut clients = Clients::new();
    let hashes = matches!(case.policy, Policy::HashText | Policy::FnvModulo);
    // The second argument is how many servers to look at until one is healthy: all are.
    Box::new(move || {
        let key = if hashes { clients.next().as_bytes() } else { b"" };
        black_box(balancer.select(black_box(key), 256)).is_some()
    })
}
