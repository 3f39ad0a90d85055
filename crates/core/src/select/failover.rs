//! `failover`: the operator's order is the order of preference.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    input.candidates.first()
}
