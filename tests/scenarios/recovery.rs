//! Recovery: failback to a preferred server, and slow start.

use std::time::Duration;

use tunnel_balancer_core::{Failback, HashOn, Policy, PoolState, RequestMeta, ServerSet, Service, hash};

use crate::pool_driver::{at, counts, drive, end, exchange, exchange_get, get, id, picks, pool, probe, probed, status};

#[test]
fn sel_11_failback_is_automatic_delayed_or_manual() {
    let ejected_and_recovered = |failback: fn(&mut Service)| {
        let mut state = pool(Policy::Failover, &[1, 1], |_, change| change(failback));
        exchange(&mut state, 530, at(0));
        assert_eq!(exchange_get(&mut state, at(10_000)), "a", "the trial");
        state
    };
    let mut auto = ejected_and_recovered(|_| ());
    assert_eq!(picks(&mut auto, 1, at(10_001)), "a");

    let mut late = ejected_and_recovered(|service| service.failback = Failback::After(Duration::from_secs(600)));
    assert_eq!(picks(&mut late, 1, at(609_999)), "b");
    assert_eq!(picks(&mut late, 1, at(610_000)), "a");

    let mut manual = ejected_and_recovered(|service| service.failback = Failback::Manual);
    assert_eq!(picks(&mut manual, 1, at(86_000_000)), "b");
    manual.release_failback(at(86_000_000));
    assert_eq!(picks(&mut manual, 1, at(86_000_000)), "a");

    let mut alone = ejected_and_recovered(|service| service.failback = Failback::Manual);
    exchange(&mut alone, 530, at(20_000));
    assert_eq!(picks(&mut alone, 1, at(20_001)), "a", "a held server is preferred to an ejected one");
}

#[test]
fn a_server_whose_probes_pass_again_is_held_for_failback() {
    let mut state = probed(|service| service.failback = Failback::Manual);
    for (second, code) in [(40, 500), (60, 500), (80, 200), (100, 200)] {
        assert!(!state.status(at(second * 1_000)).servers[0].awaiting_failback);
        probe(&mut state, [Ok(code), Ok(200)], at(second * 1_000));
    }
    assert!(state.status(at(100_000)).servers[0].awaiting_failback);
    assert_eq!(picks(&mut state, 1, at(100_000)), "b");
}

#[test]
fn traffic_stays_with_a_held_server_that_had_to_serve() {
    let mut state = probed(|service| service.failback = Failback::Manual);
    let mut second = 0;
    let mut probes = |codes: [u16; 2]| {
        for _ in 0..2 {
            second += 40;
            probe(&mut state, codes.map(Ok), at(second * 1_000));
        }
        picks(&mut state, 1, at(second * 1_000))
    };
    probes([500, 500]);
    assert_eq!(probes([200, 200]), "a", "the first one, after an outage of both");
    assert_eq!(probes([500, 200]), "b");
    assert_eq!(probes([200, 200]), "b", "the first one has returned");
    assert_eq!(probes([200, 500]), "a");
    assert_eq!(probes([200, 200]), "a");
}

#[test]
fn a_retry_releases_no_held_server() {
    let mut state = probed(|service| service.failback = Failback::Manual);
    end(&mut state, 0, status(530), at(1_000));
    end(&mut state, 0, status(200), at(11_000));
    let retry = state.pick(ServerSet::single(id(1)), &get(), at(11_000)).unwrap();
    assert_eq!(retry.server, id(0), "the other one was tried");
    assert_eq!(picks(&mut state, 1, at(11_000)), "b");
}

#[test]
fn slow_start_ramps_up_a_recovered_server() {
    let mut state = pool(Policy::RoundRobin, &[1, 1], |_, change| {
        change(|service| service.slow_start = Some(Duration::from_secs(100)));
    });
    assert_eq!(exchange(&mut state, 530, at(0)), "a");
    while exchange_get(&mut state, at(10_000)) != "a" {}
    let share = |state: &mut PoolState, now| counts(&picks(state, 10_000, now)).get(&'a').copied().unwrap_or_default();
    assert_eq!(share(&mut state, at(10_000)), 0);
    let (quarter, half) = (share(&mut state, at(35_000)), share(&mut state, at(60_000)));
    assert!(quarter > 1_000 && quarter < half && half < 5_000, "{quarter}, {half}");
    assert_eq!(share(&mut state, at(110_000)), 5_000);
}

#[test]
fn slow_start_applies_with_backups() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[1].backup = true;
        change(|service| service.slow_start = Some(Duration::from_secs(100)));
    });
    drive(&mut state, get(), at(0), |server| if server == 0 { 530 } else { 200 });
    drive(&mut state, get(), at(10_000), |_| 200);
    let to_primary = (0..1000).filter(|_| drive(&mut state, get(), at(35_000), |_| 200) == [0]).count();
    assert!((200..300).contains(&to_primary), "{to_primary} of 1000 after a quarter of the slow start");
}

#[test]
fn a_hash_key_moves_once_during_slow_start() {
    let mut state = pool(Policy::Hash(HashOn::ClientIp), &[1, 1], |_, change| {
        change(|service| service.slow_start = Some(Duration::from_secs(100)));
    });
    let first = |state: &mut PoolState, key, now| {
        state.pick(ServerSet::EMPTY, &RequestMeta { hash_key: key, ..get() }, now).unwrap().server
    };
    let keys: Vec<u64> = (0..100_u64).map(|key| hash::key(&key.to_le_bytes())).collect();
    let own: Vec<u64> = keys.into_iter().filter(|key| first(&mut state, *key, at(0)) == id(0)).collect();
    drive(&mut state, RequestMeta { hash_key: own[0], ..get() }, at(0), |server| if server == 0 { 530 } else { 200 });
    drive(&mut state, RequestMeta { hash_key: own[0], ..get() }, at(10_000), |_| 200);
    let mut place = vec![id(1); own.len()];
    let mut changes = vec![0; own.len()];
    for second in 10..=110 {
        for (index, key) in own.iter().enumerate() {
            let now = first(&mut state, *key, at(second * 1000));
            changes[index] += u32::from(place[index] != now);
            place[index] = now;
        }
    }
    assert!(changes.iter().all(|changes| *changes == 1), "{changes:?}");
}
