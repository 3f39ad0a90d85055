//! `failover`: the operator's order is the order of preference.

use super::Choice;
use crate::server_set::ServerId;

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    choice.candidates.first()
}
