//! `failover`: the first candidate in the operator's order.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    input.candidates.first()
}
