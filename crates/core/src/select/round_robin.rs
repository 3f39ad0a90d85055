//! `round_robin`: smooth weighted rotation.
//!
//! Plain weighted rotation sends bursts (`a a a b`). Here everybody's current_weight grows by its weight each turn, the smooth_weighted is
//! chosen and pays for the whole turn: over a cycle each gets exactly its share, spread out (`a a b a`). The method is
//! nginx's (Igor Sysoev, 2012). A server that may not be chosen neither earns nor pays.
//!
//! With one weight for all, a share is a turn: whoever had none in this round is next, in list order, and a round is over
//! when all who may be chosen had theirs. That keeps retries fair too, each of which takes somebody's turn.

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
    let mut smooth_weighted = input.candidates.first()?;
    let mut most = i64::MIN;
    let mut turn = 0;
    // Over the list and not the set, and without a jump that depends on who is in: what a processor is good at.
    for (id, candidate) in ServerId::all().zip(input.pool.iter_mut()) {
        let is_in = input.candidates.contains(id);
        let weight = if is_in { i64::from(candidate.weight) } else { 0 };
        turn += weight;
        candidate.current_weight += weight;
        if is_in && candidate.current_weight > most {
            (smooth_weighted, most) = (id, candidate.current_weight);
        }
    }
    let chosen = input.pool.get_mut(smooth_weighted.index())?;
    chosen.current_weight -= turn;
    Some(smooth_weighted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Selector;
    use crate::{Policy, Rng, Server, ServerId, ServerSet, Timestamp};

    #[test]
    fn with_equal_weights_retries_take_turns_too() {
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
