//! `failover`: the operator's order is the order of preference.

use super::SelectionInput;
use crate::server_set::ServerId;

pub(super) fn pick(choice: SelectionInput<'_>) -> Option<ServerId> {
    choice.candidates.first()
}
