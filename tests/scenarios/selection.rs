//! Selection: every policy, and the rules that apply to all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tunnel_balancer_core::{Finish, HashOn, LocalReply, Policy, PoolState, RequestMeta, ServerSet, Step, Writes, hash};

use crate::pool_driver::{
    at, begin, checked, counts, end, exchange, exchange_get, get, id, picks, plain, pool, post, start, status,
};

#[test]
fn sel_01_round_robin_is_a_strict_rotation() {
    assert_eq!(picks(&mut plain(Policy::RoundRobin, &[1, 1, 1]), 9, at(0)), "abcabcabc");
}

#[test]
fn sel_02_round_robin_skips_an_ejected_server_until_its_trial() {
    let mut state = plain(Policy::RoundRobin, &[1, 1, 1]);
    assert_eq!(exchange(&mut state, 200, at(0)), "a");
    assert_eq!(exchange(&mut state, 530, at(0)), "b");
    let meanwhile = counts(&picks(&mut state, 60, at(1)));
    assert_eq!(meanwhile.keys().collect::<String>(), "ac");
    assert!((29..=31).contains(&meanwhile[&'a']), "the current rotation is finished first: {meanwhile:?}");
    // After its ejection, `b` gets one request, whose success unejects it.
    let trial = (0..3).map(|_| exchange_get(&mut state, at(10_001))).collect::<String>();
    assert!(trial.contains('b'), "{trial}");
    assert!((29..=31).contains(&counts(&picks(&mut state, 90, at(10_002)))[&'b']));
}

#[test]
fn sel_03_a_server_at_its_limit_is_skipped() {
    let mut state = pool(Policy::RoundRobin, &[1, 1, 1], |servers, _| servers[1].max_requests = Some(1));
    let servers: Vec<_> = (0..6).map(|_| begin(&mut state, get(), at(0)).unwrap()).collect();
    assert_eq!(servers.iter().filter(|name| *name == "b").count(), 1, "{servers:?}");
}

#[test]
fn sel_04_weights_are_exact_in_every_cycle_and_interleaved() {
    let picked = picks(&mut plain(Policy::RoundRobin, &[3, 2, 1]), 12, at(0));
    for cycle in [&picked[..6], &picked[6..]] {
        assert_eq!(counts(cycle), BTreeMap::from([('a', 3), ('b', 2), ('c', 1)]));
    }
    assert!(!picked.contains("aaa"), "no bursts: {picked}");
}

#[test]
fn sel_05_a_server_without_weight_gets_nothing() {
    for policy in
        [Policy::RoundRobin, Policy::Random, Policy::LeastRequests, Policy::Latency, Policy::Hash(HashOn::Path)]
    {
        let picked = picks(&mut plain(policy.clone(), &[0, 2, 1]), 300, at(0));
        assert!(!picked.contains('a'), "{policy:?}: {picked}");
    }
    assert_eq!(
        counts(&picks(&mut plain(Policy::RoundRobin, &[0, 2, 1]), 3, at(0))),
        BTreeMap::from([('b', 2), ('c', 1)])
    );
}

#[test]
fn sel_07_random_follows_the_weights() {
    let counts = counts(&picks(&mut plain(Policy::Random, &[1, 8, 1]), 10_000, at(0)));
    assert!((7_700..=8_300).contains(&counts[&'b']), "{counts:?}");
    assert!((800..=1_200).contains(&counts[&'a']), "{counts:?}");
}

#[test]
fn sel_08_the_attempts_of_a_request_never_repeat_a_server() {
    for policy in
        [Policy::RoundRobin, Policy::Random, Policy::LeastRequests, Policy::Latency, Policy::Hash(HashOn::Path)]
    {
        let mut state = plain(policy, &[1, 8, 1]);
        let mut tried = ServerSet::EMPTY;
        for _ in 0..3 {
            let pick = state.pick(tried, &get(), at(0)).unwrap();
            assert!(!tried.contains(pick.server));
            tried.insert(pick.server);
        }
        assert!(matches!(state.pick(tried, &get(), at(0)), Err(LocalReply::Unavailable { .. })));
    }
}

#[test]
fn sel_12_least_requests_prefers_the_less_loaded_server() {
    let mut state = plain(Policy::LeastRequests, &[1, 1]);
    let servers: Vec<_> = (0..100).map(|_| begin(&mut state, get(), at(0)).unwrap()).collect();
    let to_a = servers.iter().filter(|name| *name == "a").count();
    assert_eq!(to_a, 50, "both servers stay equally loaded");
}

#[test]
fn least_requests_counts_by_weight() {
    let mut state = plain(Policy::LeastRequests, &[3, 1]);
    let servers: Vec<_> = (0..400).map(|_| begin(&mut state, get(), at(0)).unwrap()).collect();
    let to_a = servers.iter().filter(|name| *name == "a").count();
    assert!((295..=305).contains(&to_a), "{to_a} of 400 to the server with three quarters of the weight");
}

#[test]
fn sel_13_ties_are_broken_uniformly_at_random() {
    let counts = counts(&picks(&mut plain(Policy::LeastRequests, &[1, 1, 1]), 10_000, at(0)));
    let chi_squared: f64 = counts.values().map(|count| (*count as f64 - 3333.3).powi(2) / 3333.3).sum();
    assert!(chi_squared < 13.8, "99.9 % of uniform samples are below: {chi_squared} {counts:?}");
}

#[test]
fn sel_15_two_choices_of_two_servers_compare_both() {
    let mut state = plain(Policy::LeastRequests, &[1, 1]);
    begin(&mut state, get(), at(0)).unwrap();
    let busy = picks(&mut state, 1, at(0));
    for _ in 0..100 {
        assert_eq!(picks(&mut state, 1, at(0)), busy, "the idle server is always compared");
    }
}

#[test]
fn sel_16_the_same_key_goes_to_the_same_server() {
    let mut state = plain(Policy::Hash(HashOn::ClientIp), &[1, 1, 1]);
    for client in 0..100 {
        let request = RequestMeta { hash_key: hash::key(format!("192.0.2.{client}").as_bytes()), ..get() };
        let first = state.pick(ServerSet::EMPTY, &request, at(0)).unwrap();
        assert_eq!(state.pick(ServerSet::EMPTY, &request, at(0)).unwrap(), first);
    }
}

#[test]
fn sel_17_sel_18_only_the_keys_of_a_removed_server_move() {
    let mut state = plain(Policy::Hash(HashOn::ClientIp), &[3, 2, 1]);
    let mut moved = 0;
    for key in 0..10_000_u64 {
        let request = RequestMeta { hash_key: hash::key(&key.to_le_bytes()), ..get() };
        let before = state.pick(ServerSet::EMPTY, &request, at(0)).unwrap().server;
        let after = state.pick(ServerSet::single(id(2)), &request, at(0)).unwrap().server;
        assert!(before == id(2) || before == after);
        moved += usize::from(before != after);
    }
    assert!((1_467..=1_867).contains(&moved), "a sixth of the keys, within 2 %: {moved}");
}

#[test]
fn sel_20_the_path_hash_ignores_the_query() {
    let key = |path| HashOn::Path.key(|_| None, path, Some("192.0.2.1"));
    assert_eq!(key("/url1"), key("/url1?x=1"));
    assert_ne!(key("/url1"), key("/url2"));
}

#[test]
fn a_missing_hash_key_falls_back_to_the_client_address() {
    let address = HashOn::ClientIp.key(|_| None, "/", Some("192.0.2.1"));
    let header = HashOn::Header("x-user".to_owned());
    assert_eq!(header.key(|_| None, "/", Some("192.0.2.1")), address);
    assert_eq!(header.key(|_| Some("ann".into()), "/", Some("192.0.2.1")), hash::key(b"ann"));
    let cookie = HashOn::Cookie("user".to_owned());
    assert_eq!(cookie.key(|_| Some("a=1; user=ann".into()), "/", None), hash::key(b"ann"));
    assert_eq!(cookie.key(|_| Some("a=1".into()), "/", Some("192.0.2.1")), address);
}

#[test]
fn backups_are_used_only_if_no_other_server_is_available() {
    let mut state = pool(Policy::RoundRobin, &[1, 1, 1], |servers, _| servers[0].backup = true);
    assert_eq!(counts(&picks(&mut state, 6, at(0))), BTreeMap::from([('b', 3), ('c', 3)]));
    exchange(&mut state, 530, at(0));
    exchange(&mut state, 530, at(0));
    assert_eq!(picks(&mut state, 3, at(1)), "aaa");
}

#[test]
fn sel_28_a_request_is_rejected_if_all_servers_are_at_their_limit() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| {
        servers.iter_mut().for_each(|server| server.max_requests = Some(1));
    });
    assert_eq!(begin(&mut state, get(), at(0)).as_deref(), Ok("a"));
    assert_eq!(begin(&mut state, get(), at(0)).as_deref(), Ok("b"));
    assert_eq!(begin(&mut state, get(), at(0)), Err(LocalReply::Overloaded));
    assert!(begin(&mut state, get(), at(270_000)).is_ok(), "requests that never report their end expire");
}

#[test]
fn sel_30_fast_failures_do_not_attract_traffic() {
    let mut state = pool(Policy::Latency, &[1, 1, 1], |_, change| {
        change(|service| service.ejection.consecutive_failures = 1_000_000)
    });
    let mut to_a = 0;
    for n in 0..3_000_u64 {
        let now = at(n * 10);
        let (mut exchange, attempt) = start(&mut state, post(), now);
        let (code, took) = if attempt.server() == id(0) { (503, 5) } else { (200, 167) };
        to_a += u32::from(attempt.server() == id(0));
        exchange.report(&mut state, attempt, status(code), at(n * 10 + took));
    }
    assert!(to_a <= 75, "at most 2.5 % of the traffic: {to_a} of 3000");
}

#[test]
fn aff_02_aff_03_a_client_keeps_its_server_while_it_is_available() {
    let mut state = plain(Policy::Failover, &[1, 1]);
    let sticky = RequestMeta { affinity_server: Some(id(1)), ..get() };
    assert_eq!(begin(&mut state, sticky.clone(), at(0)).as_deref(), Ok("b"));
    let (mut exchange, attempt) = start(&mut state, sticky.clone(), at(0));
    let step = exchange.report(&mut state, attempt, status(530), at(0));
    let Step::Attempt(second) = step else { panic!("no second attempt") };
    assert_eq!(second.server(), id(0), "health takes precedence over affinity");
    assert_eq!(begin(&mut state, sticky, at(1)).as_deref(), Ok("a"));
}

#[test]
fn aff_06_a_draining_server_keeps_its_affinity_clients_and_gets_no_others() {
    let mut state = pool(Policy::RoundRobin, &[1, 1, 1, 1], |servers, _| servers[0].drain = true);
    let sticky = RequestMeta { affinity_server: Some(id(0)), ..get() };
    for _ in 0..4 {
        assert_eq!(state.pick(ServerSet::EMPTY, &sticky, at(0)).unwrap().server, id(0));
    }
    assert_eq!(counts(&picks(&mut state, 12, at(0))), BTreeMap::from([('b', 4), ('c', 4), ('d', 4)]));
}

#[test]
fn a_disabled_server_gets_no_requests_and_no_probes() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[0].enabled = false;
        change(checked);
    });
    let sticky = RequestMeta { affinity_server: Some(id(0)), ..get() };
    assert_eq!(begin(&mut state, sticky, at(0)).as_deref(), Ok("b"));
    assert_eq!(state.next_probe(at(0)).map(|lease| lease.server()), Some(id(1)));
    assert_eq!(state.next_probe(at(0)), None, "a disabled server is not probed");
}

#[test]
fn writes_are_sent_only_to_the_primary() {
    let mut state =
        pool(Policy::RoundRobin, &[1, 1], |_, change| change(|service| service.writes = Writes::PrimaryOnly));
    for _ in 0..3 {
        assert_eq!(begin(&mut state, post(), at(0)).as_deref(), Ok("a"));
    }
    assert_eq!(exchange(&mut state, 530, at(0)), "a");
    assert_eq!(begin(&mut state, post(), at(1)).as_deref(), Ok("a"), "no other server accepts writes");
    assert_eq!(begin(&mut state, get(), at(1)).as_deref(), Ok("b"), "reads avoid the ejected primary");
}

#[test]
fn sel_21_the_first_of_duplicate_cookies_is_hashed() {
    let on = HashOn::Cookie("user".to_owned());
    assert_eq!(on.key(|_| Some("user=ann; user=bob".into()), "/", None), hash::key(b"ann"));
}

#[test]
fn an_affinity_client_leaves_a_server_at_its_limit() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, _| servers[1].max_requests = Some(1));
    let own = || RequestMeta { affinity_server: Some(id(1)), ..get() };
    let (_running, attempt) = start(&mut state, own(), at(0));
    assert_eq!(attempt.server(), id(1));
    assert_eq!(start(&mut state, own(), at(0)).1.server(), id(0));
}

#[test]
fn response_times_count_errors_and_canceled_attempts() {
    let latency = |event: fn(&mut PoolState)| {
        let mut state = plain(Policy::Latency, &[1, 1]);
        let mut unmeasured = state.clone();
        event(&mut unmeasured);
        assert_eq!(unmeasured.status(at(10_000)).servers[0].latency, None, "no response was measured");
        end(&mut state, 0, status(200), at(0));
        event(&mut state);
        state.status(at(10_000)).servers[0].latency
    };
    let fast_error = latency(|state| end(state, 0, status(500), at(0)));
    assert!(fast_error >= Some(Duration::from_secs(5)), "a fast error does not count as fast: {fast_error:?}");
    let canceled = latency(|state| {
        let own = RequestMeta { affinity_server: Some(id(0)), ..get() };
        let (mut exchange, attempt) = start(state, own, at(0));
        exchange.cancel(state, attempt, at(3_000));
    });
    assert_eq!(canceled, Some(Duration::from_secs(3)), "at least this slow");
}

#[test]
fn only_writes_are_rejected_with_no_writes() {
    let state = pool(Policy::Failover, &[1, 1], |_, change| change(|service| service.writes = Writes::PrimaryOnly));
    let rejection = |request: RequestMeta| state.clone().pick(state.service().all(), &request, at(0)).unwrap_err();
    assert!(matches!(rejection(post()), LocalReply::NoWrites { .. }));
    assert!(matches!(rejection(get()), LocalReply::Unavailable { .. }));
}

#[test]
fn writes_without_an_available_primary_are_rejected_only_at_its_limit() {
    let mut state = pool(Policy::Failover, &[1, 1], |servers, change| {
        servers[0].max_requests = Some(1);
        change(|service| service.writes = Writes::PrimaryOnly);
    });
    end(&mut state, 0, status(530), at(0));
    let (mut exchange, attempt) = start(&mut state, post(), at(1));
    assert_eq!(attempt.server(), id(0), "it is ejected, but no other server accepts writes");
    assert_eq!(state.pick(ServerSet::EMPTY, &post(), at(1)), Err(LocalReply::Overloaded));
    let step = exchange.report(&mut state, attempt, status(530), at(1));
    assert!(matches!(step, Step::Finish(Finish::LocalReply(LocalReply::NoWrites { .. }))), "{step:?}");
}
