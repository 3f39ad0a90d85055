//! The power of two choices: draw two by lot, take the better one.
//!
//! Looking at everybody and taking the best makes all who look at the same moment choose the same server; looking at two
//! keeps almost all of the gain and none of the herd (Mitzenmacher, "The power of two choices in randomized load
//! balancing", 2001).

use std::hint::select_unpredictable;

use super::{Candidate, SelectionInput};
use crate::server_set::ServerId;

/// Draws two different candidates and takes the second only if it is better than the first, so that a tie is a fair draw.
pub(super) fn select(
    mut input: SelectionInput<'_>,
    is_better: impl FnOnce(&Candidate, &Candidate) -> bool,
) -> Option<ServerId> {
    let (first, second) = input.sample_two(input.candidates)?;
    let is_better = is_better(input.candidate(second)?, input.candidate(first)?);
    // Without a jump: nobody could foretell it.
    Some(select_unpredictable(is_better, second, first))
}
