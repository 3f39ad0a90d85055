//! `round_robin`: smooth weighted rotation.
//!
//! Plain weighted rotation sends bursts (`a a a b`). Here everybody's credit grows by its weight each turn, the richest is
//! chosen and pays for the whole turn: over a cycle each gets exactly its share, spread out (`a a b a`). The method is
//! nginx's (Igor Sysoev, 2012). A server that may not be chosen neither earns nor pays.

use super::Choice;
use crate::server::{ServerId, ServerSet};

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    let mut richest: Option<(i64, usize)> = None;
    let mut turn = 0;
    // Over the slice and not the set: a plain loop, which is what the compiler is good at.
    for (index, contender) in choice.contenders.iter_mut().enumerate().take(ServerSet::CAPACITY) {
        if !ServerId::new(index).is_some_and(|id| choice.candidates.contains(id)) {
            continue;
        }
        let weight = i64::from(contender.weight);
        turn += weight;
        contender.credit += weight;
        if richest.is_none_or(|(credit, _)| contender.credit > credit) {
            richest = Some((contender.credit, index));
        }
    }
    let (_, index) = richest?;
    let chosen = choice.contenders.get_mut(index)?;
    chosen.credit -= turn;
    ServerId::new(index)
}
