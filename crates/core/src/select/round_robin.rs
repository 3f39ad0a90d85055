//! `round_robin`: smooth weighted rotation.
//!
//! Plain weighted rotation sends bursts (`a a a b`). This is nginx's smooth variant (Igor Sysoev,
//! 2012). In each turn the current weight of every candidate grows by its weight. The candidate
//! with the largest current weight is selected, and the total of the turn is subtracted from it.
//! Over a cycle every server gets exactly its share, spread out (`a a b a`). The current weight of
//! a server that is no candidate does not change.
//!
//! With equal weights the state is the set of servers that were selected in this round. The next
//! server is the first in list order that was not. A round ends when every candidate was selected.
//! Retries count, too, so that the rotation stays fair when a server fails.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    if input.equal_weights { rotate(input) } else { smooth_weighted(input) }
}

fn rotate(input: SelectionInput<'_>) -> Option<ServerId> {
    let waiting = input.candidates.difference(*input.round_robin_served);
    if waiting.is_empty() {
        *input.round_robin_served = input.round_robin_served.difference(input.candidates);
    }
    let next = waiting.or_else(input.candidates).first()?;
    input.round_robin_served.insert(next);
    Some(next)
}

fn smooth_weighted(input: SelectionInput<'_>) -> Option<ServerId> {
    let mut heaviest = input.candidates.first()?;
    let mut max = i64::MIN;
    let mut total = 0;
    // Iterates over the list instead of the set, without branches on membership, so that the loop
    // vectorizes.
    for (id, candidate) in ServerId::all().zip(input.pool.iter_mut()) {
        let is_candidate = input.candidates.contains(id);
        let weight = if is_candidate { i64::from(candidate.weight) } else { 0 };
        total += weight;
        candidate.current_weight += weight;
        if is_candidate && candidate.current_weight > max {
            (heaviest, max) = (id, candidate.current_weight);
        }
    }
    input.pool.get_mut(heaviest.index())?.current_weight -= total;
    Some(heaviest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Selector;
    use crate::{Policy, Rng, Server, ServerId, ServerSet, Timestamp};

    #[test]
    fn retries_take_part_in_the_rotation() {
        let servers = ["a.example", "b.example", "c.example"].map(|url| Server::new(url.parse().unwrap()));
        let (mut selector, mut rng) = (Selector::new(&servers, Duration::from_secs(100)), Rng::new(1));
        let mut select =
            |among| selector.select(&Policy::RoundRobin, among, 0, &mut rng, Timestamp::ZERO).unwrap().index();
        let all = ServerSet::first_n(3);

        let mut served = [0; 3];
        for _ in 0..300 {
            let first = select(all);
            served[first] += 1;
            // The first server fails each of its requests.
            if first == 0 {
                served[select(all.difference(ServerId::new(0).map(ServerSet::single).unwrap()))] += 1;
            }
        }
        assert_eq!(served, [150, 150, 150]);
    }
}
