//! `round_robin`: smooth weighted rotation.
//!
//! Plain weighted rotation sends bursts (`a a a b`). Here everybody's credit grows by its weight each turn, the smooth_weighted is
//! chosen and pays for the whole turn: over a cycle each gets exactly its share, spread out (`a a b a`). The method is
//! nginx's (Igor Sysoev, 2012). A server that may not be chosen neither earns nor pays.
//!
//! With one weight for all, a share is a turn: whoever had none in this round is next, in list order, and a round is over
//! when all who may be chosen had theirs. That keeps retries fair too, each of which takes somebody's turn.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn pick(choice: SelectionInput<'_>) -> Option<ServerId> {
    if choice.even { rotate(choice) } else { smooth_weighted(choice) }
}

fn rotate(choice: SelectionInput<'_>) -> Option<ServerId> {
    let waiting = choice.candidates.difference(*choice.served);
    if waiting.is_empty() {
        *choice.served = choice.served.difference(choice.candidates);
    }
    let next = waiting.or(choice.candidates).first()?;
    choice.served.insert(next);
    Some(next)
}

fn smooth_weighted(choice: SelectionInput<'_>) -> Option<ServerId> {
    let mut smooth_weighted = choice.candidates.first()?;
    let mut most = i64::MIN;
    let mut turn = 0;
    // Over the list and not the set, and without a jump that depends on who is in: what a processor is good at.
    for (id, candidate) in ServerId::all().zip(choice.pool.iter_mut()) {
        let is_in = choice.candidates.contains(id);
        let weight = if is_in { i64::from(candidate.weight) } else { 0 };
        turn += weight;
        candidate.credit += weight;
        if is_in && candidate.credit > most {
            (smooth_weighted, most) = (id, candidate.credit);
        }
    }
    let chosen = choice.pool.get_mut(smooth_weighted.index())?;
    chosen.credit -= turn;
    Some(smooth_weighted)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use crate::{Policy, PoolState, RequestMeta, Server, ServerId, ServerSet, Service, Timestamp};

    #[test]
    fn with_even_weights_retries_take_turns_too() {
        let servers = ["a.example", "b.example", "c.example"].map(|url| Server::new(url.parse().unwrap()));
        let mut service = Service::new("app.example", servers.to_vec()).unwrap();
        service.policy = Policy::RoundRobin;
        let mut state = PoolState::new(Arc::new(service), 1);
        let request = RequestMeta::new(Method::GET);
        let mut pick = |tried| state.pick(tried, &request, Timestamp::ZERO).unwrap().server.index();

        let mut served = [0; 3];
        for _ in 0..300 {
            let first = pick(ServerSet::EMPTY);
            served[first] += 1;
            // `a` fails all it gets.
            if first == 0 {
                served[pick(ServerId::new(0).map(ServerSet::single).unwrap())] += 1;
            }
        }
        assert_eq!(served, [150, 150, 150]);
    }
}
