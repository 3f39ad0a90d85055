//! Servers receive traffic in proportion to their weights, and `hash` moves as few keys as
//! possible.

use std::collections::BTreeMap;

use http::Method;
use tunnel_balancer_core::{HashOn, Policy, PoolState, RequestMeta, Server, ServerSet, Service, Timestamp, hash};
use tunnel_balancer_sim::{Arrivals, Behavior, Sim};

use crate::{at_least, at_most, for_seeds, ms, names, s, server};

const WEIGHTS: [u32; 3] = [5, 3, 2];

fn weighted(policy: Policy, weights: &[u32]) -> Service {
    let servers = names(weights.len()).zip(weights).map(|(name, weight)| {
        let mut server = server(&name);
        server.weight = *weight;
        server
    });
    let mut service = Service::new("app.example", servers.collect()).unwrap();
    service.policy = policy;
    service
}

/// Returns the largest difference between the share of a server and its weight, in percentage
/// points.
fn worst(counts: &BTreeMap<String, usize>, weights: &[u32]) -> f64 {
    let (sum, weight): (usize, u32) = (counts.values().sum(), weights.iter().sum());
    let off = names(weights.len()).zip(weights).map(|(name, own)| {
        let share = counts.get(&name).copied().unwrap_or_default() as f64 / sum as f64;
        100.0 * (share - f64::from(*own) / f64::from(weight)).abs()
    });
    off.fold(0.0, f64::max)
}

#[test]
fn each_server_gets_the_share_of_its_weight() {
    for_seeds(1, |seed| {
        let table = [
            ("round_robin", Policy::RoundRobin, 0.0),
            ("random", Policy::Random, 2.0),
            ("least_requests", Policy::LeastRequests, 2.0),
        ];
        for (name, policy, bound) in table {
            let mut sim = Sim::new(weighted(policy, &WEIGHTS), seed.0);
            names(WEIGHTS.len())
                .for_each(|name| sim.server(s(0), &name, Behavior::status(200).after(ms(100)).exponential()));
            sim.arrivals(Arrivals::poisson(300.0));
            // A whole number of rotations.
            let requests = seed.run(sim, s(40)).requests;
            let rounding = 100.0 * 10.0 / requests.values().sum::<usize>() as f64;
            at_most(bound + rounding, format!("{name}, weights 5:3:2: points off"), worst(&requests, &WEIGHTS));
        }
    });
}

/// Returns the server of each of 10,000 keys.
fn placed(service: Service) -> Vec<String> {
    let mut state = PoolState::new(service.into(), 1);
    let place = |key: u32| {
        let request = RequestMeta {
            hash_key: hash::key(format!("203.0.113.7/{key}").as_bytes()),
            ..RequestMeta::new(Method::GET)
        };
        let pick = state.pick(ServerSet::EMPTY, &request, Timestamp::ZERO).unwrap();
        state.service().server(pick.server).unwrap().name.clone()
    };
    (0..10_000).map(place).collect()
}

#[test]
fn hash_moves_the_keys_of_a_removed_server_and_no_others() {
    for (servers, weights) in
        [2, 3, 8, 64].into_iter().flat_map(|servers| [(servers, "even"), (servers, "3, 2, 1 ...")])
    {
        let own: Vec<u32> = (0..servers).map(|server| if weights == "even" { 1 } else { 3 - server % 3 }).collect();
        let all = weighted(Policy::Hash(HashOn::ClientIp), &own);
        let others: Vec<Server> = all.servers().iter().filter(|server| server.name != "b").cloned().collect();
        let mut without = Service::new("app.example", others).unwrap();
        without.policy = all.policy.clone();
        let (before, after) = (placed(all), placed(without));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        let needless = moved.clone().filter(|(before, _)| *before != "b").count();
        let what = format!("hash, {servers} servers, {weights}, one removed");
        at_most(0.0, format!("{what}: keys moved needlessly"), needless as f64);
        let (share, fair) =
            (moved.count() as f64 / before.len() as f64, own[1] as f64 / own.iter().sum::<u32>() as f64);
        at_most(100.0 * fair + 2.0, format!("{what}: % of keys moved"), 100.0 * share);
    }
}

/// Includes changes from equal to unequal weights, which use a different algorithm.
#[test]
fn hash_moves_keys_only_to_a_server_whose_weight_increased() {
    for (before, after) in [([1, 1, 1], [1, 2, 1]), ([3, 2, 1], [3, 3, 1]), ([2, 1, 2], [2, 2, 2])] {
        let place = |weights: [u32; 3]| placed(weighted(Policy::Hash(HashOn::ClientIp), &weights));
        let (was, is) = (place(before), place(after));
        let moved = was.iter().zip(&is).filter(|(was, is)| was != is);
        let what = format!("hash, weights {before:?} and then {after:?}");
        let needless = moved.clone().filter(|(_, is)| *is != "b").count();
        at_most(0.0, format!("{what}: keys moved needlessly"), needless as f64);
        let share = |weights: [u32; 3]| f64::from(weights[1]) / f64::from(weights.iter().sum::<u32>());
        let percent = 100.0 * moved.count() as f64 / was.len() as f64;
        at_least(100.0 * (share(after) - share(before)) - 2.0, format!("{what}: % of keys moved"), percent);
    }
}

#[test]
fn hash_gives_each_server_its_share_of_the_keys() {
    for weights in [&[1, 1, 1][..], &WEIGHTS, &[1, 100], &[1; 64]] {
        let mut counts = BTreeMap::new();
        for server in placed(weighted(Policy::Hash(HashOn::ClientIp), weights)) {
            *counts.entry(server).or_default() += 1;
        }
        let name: Vec<String> = weights.iter().take(5).map(u32::to_string).collect();
        at_most(
            2.0,
            format!("hash, {} weights {}: points off", weights.len(), name.join(":")),
            worst(&counts, weights),
        );
    }
}
