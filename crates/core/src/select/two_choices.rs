//! The power of two choices: sample two candidates, select the better one.
//!
//! If every request selected the best of all servers, simultaneous requests would all select the
//! same one. Comparing two random servers keeps almost all of the gain and avoids the herd
//! (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).

use std::hint::select_unpredictable;

use super::{Candidate, SelectionInput};
use crate::server_set::ServerId;

/// Samples two different candidates and returns the second only if it is better than the first.
/// Ties are decided at random.
pub(super) fn select(
    mut input: SelectionInput<'_>,
    is_better: impl FnOnce(&Candidate, &Candidate) -> bool,
) -> Option<ServerId> {
    let (first, second) = input.sample_two(input.candidates)?;
    let is_better = is_better(input.candidate(second)?, input.candidate(first)?);
    // Branchless: the branch is unpredictable.
    Some(select_unpredictable(is_better, second, first))
}
