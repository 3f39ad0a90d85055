//! `random`: by lot, in proportion to the weights.
//!
//! Needs no memory, so isolates that share none do not fall into step with each other.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn select(mut input: SelectionInput<'_>) -> Option<ServerId> {
    input.sample(input.candidates)
}
