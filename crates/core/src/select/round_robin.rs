//! `round_robin`: smooth weighted rotation.
//!
//! Plain weighted rotation sends bursts (`a a a b`). Here everybody's credit grows by its weight each turn, the richest is
//! chosen and pays for the whole turn: over a cycle each gets exactly its share, spread out (`a a b a`). The method is
//! nginx's (Igor Sysoev, 2012). A server that may not be chosen neither earns nor pays.
//!
//! With one weight for all, a share is a turn: whoever had none in this round is next, in list order, and a round is over
//! when all who may be chosen had theirs. That keeps retries fair too, each of which takes somebody's turn.

use super::Choice;
use crate::server_set::ServerId;

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    if choice.even { in_turn(choice) } else { richest(choice) }
}

fn in_turn(choice: Choice<'_>) -> Option<ServerId> {
    let waiting = choice.candidates.without(*choice.served);
    if waiting.is_empty() {
        *choice.served = choice.served.without(choice.candidates);
    }
    let next = waiting.or(choice.candidates).first()?;
    choice.served.insert(next);
    Some(next)
}

fn richest(choice: Choice<'_>) -> Option<ServerId> {
    let mut richest = choice.candidates.first()?;
    let mut most = i64::MIN;
    let mut turn = 0;
    // Over the list and not the set, and without a jump that depends on who is in: what a processor is good at.
    for (id, contender) in ServerId::all().zip(choice.contenders.iter_mut()) {
        let is_in = choice.candidates.contains(id);
        let weight = if is_in { i64::from(contender.weight) } else { 0 };
        turn += weight;
        contender.credit += weight;
        if is_in && contender.credit > most {
            (richest, most) = (id, contender.credit);
        }
    }
    let chosen = choice.contenders.get_mut(richest.index())?;
    chosen.credit -= turn;
    Some(richest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use crate::{Policy, PoolState, RequestInfo, Server, ServerId, ServerSet, Service, Timestamp};

    #[test]
    fn with_even_weights_retries_take_turns_too() {
        let servers = ["a.example", "b.example", "c.example"].map(|url| Server::new(url.parse().unwrap()));
        let mut service = Service::new("app.example", servers.to_vec()).unwrap();
        service.policy = Policy::RoundRobin;
        let mut state = PoolState::new(Arc::new(service), 1);
        let request = RequestInfo::new(Method::GET);
        let mut pick = |tried| state.pick(tried, &request, Timestamp::ZERO).unwrap().server.index();

        let mut served = [0; 3];
        for _ in 0..300 {
            let first = pick(ServerSet::EMPTY);
            served[first] += 1;
            // `a` fails all it gets.
            if first == 0 {
                served[pick(ServerId::new(0).map(ServerSet::of).unwrap())] += 1;
            }
        }
        assert_eq!(served, [150, 150, 150]);
    }
}
