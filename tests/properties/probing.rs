//! Leases over random histories: one per server, four per pool, and none that never expires.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use tunnel_balancer_core::{Lease, PoolState, ProbeResponse, Server, Service, Timestamp};

#[derive(Clone, Debug)]
enum Move {
    /// Takes all leases that are due.
    Lease,
    /// Reports the result of a lease.
    Report(usize, u16),
    /// Loses a lease: its Worker was stopped.
    Lose(usize),
    /// Advances the clock.
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        Just(Move::Lease),
        (0..8_usize, prop::sample::select(vec![200_u16, 500])).prop_map(|(index, status)| Move::Report(index, status)),
        (0..8_usize).prop_map(Move::Lose),
        (0..60_000_u64).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn leases_are_limited_to_one_per_server_and_four_per_pool(servers in 1..9_usize, moves in moves()) {
        let list = (0..servers).map(|n| Server::new(format!("s{n}.example").parse().unwrap())).collect();
        let service = Service::new("app.example", list).unwrap();
        let timeout = service.health_check.as_ref().unwrap().timeout;
        let mut state = PoolState::new(Arc::new(service), 1);
        let mut now = Timestamp::from_millis(1_000_000);
        // Leases that have neither been reported nor expired, with the time of their expiry.
        let mut live: BTreeMap<usize, Timestamp> = BTreeMap::new();
        let mut held: Vec<(Lease, Timestamp)> = Vec::new();
        for step in moves {
            live.retain(|_, until| now < *until);
            match step {
                Move::Lease => while let Some(lease) = state.next_probe(now) {
                    prop_assert!(!live.contains_key(&lease.server().index()), "two probes of one server");
                    let until = now + timeout;
                    live.insert(lease.server().index(), until);
                    prop_assert!(live.len() <= PoolState::MAX_PROBES_IN_FLIGHT, "{} probes at once", live.len());
                    held.push((lease, until));
                },
                Move::Report(index, status) if index < held.len() => {
                    let (lease, until) = held.swap_remove(index);
                    // The result of an expired lease does not end the one after it.
                    live.retain(|id, live_until| *id != lease.server().index() || *live_until != until);
                    let response = ProbeResponse::new(StatusCode::from_u16(status).unwrap());
                    state.on_probe(lease, &Ok(response), now);
                }
                Move::Lose(index) if index < held.len() => drop(held.swap_remove(index)),
                Move::Report(..) | Move::Lose(_) => {}
                Move::Wait(millis) => now = now + Duration::from_millis(millis),
            }
        }
        // All leases expire: a minute later every server is probed again.
        now = now + Duration::from_secs(60);
        let mut probed = 0;
        while let Some(lease) = state.next_probe(now) {
            probed += 1;
            let response = ProbeResponse::new(StatusCode::OK);
            state.on_probe(lease, &Ok(response), now);
        }
        prop_assert_eq!(probed, servers);
    }
}
