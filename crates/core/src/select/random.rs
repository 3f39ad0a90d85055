//! `random`: a random candidate, with a probability proportional to its weight.
//!
//! The policy is stateless, so isolates that share no memory do not synchronize.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn select(mut input: SelectionInput<'_>) -> Option<ServerId> {
    input.sample(input.candidates)
}
