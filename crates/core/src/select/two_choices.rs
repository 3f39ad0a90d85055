//! The power of two choices: draw two by lot, take the better one.
//!
//! Looking at everybody and taking the best makes all who look at the same moment choose the same server; looking at two
//! keeps almost all of the gain and none of the herd (Mitzenmacher, "The power of two choices in randomized load
//! balancing", 2001).

use super::Choice;
use crate::server::{ServerId, ServerSet};

/// Draws two different candidates and takes the second only if it is better than the first, so that a tie is a fair draw.
pub(super) fn pick(
    mut choice: Choice<'_>,
    is_better: impl FnOnce(&Choice<'_>, ServerId, ServerId) -> bool,
) -> Option<ServerId> {
    let first = choice.draw(choice.candidates)?;
    let others = choice.candidates.without(ServerSet::of(first));
    if others.is_empty() {
        return Some(first);
    }
    let second = choice.draw(others)?;
    Some(if is_better(&choice, second, first) { second } else { first })
}
