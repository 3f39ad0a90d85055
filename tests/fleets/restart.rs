//! The only server restarts, and requests are held until it is back.

use tunnel_balancer_core::{Failure, Policy};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{Seed, at_most, for_seeds, ms, s, service};

/// Restarts the server every 30 s and returns the number of lost requests, of 360.
fn lost(rejection: Behavior, seed: &Seed) -> f64 {
    let mut service = service(1, Policy::Failover);
    service.retry.hold = Some(s(5));
    let mut sim = Sim::new(service, seed.0);
    sim.server(s(0), "a", Behavior::status(200).after(ms(10)));
    for (restart, length) in (0..6).zip([500, 1_000, 2_000, 3_000, 4_000, 4_700]) {
        let at = s(10 + 30 * restart);
        sim.reset_connections(at, "a");
        sim.server(at, "a", rejection);
        sim.server(at + ms(length), "a", Behavior::status(200).after(ms(10)));
    }
    sim.arrivals(Arrivals::even(2.0).until(s(180)));
    let total = seed.run(sim, s(300)).stats.total();
    assert_eq!(total.arrived, 360);
    total.lost() as f64
}

#[test]
fn no_get_is_lost_while_the_only_server_restarts() {
    for_seeds(1, |seed| {
        let rejections =
            [("refuses connections", Behavior::fails(Failure::Connect)), ("tunnel down (530)", Behavior::status(530))];
        for (name, rejection) in rejections {
            at_most(0.0, format!("restarts, {name}, hold 5 s: lost of 360"), lost(rejection, seed));
        }
    });
}
