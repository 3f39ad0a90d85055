//! `failover`: the operator's order is the order of preference.

use crate::server::{ServerId, ServerSet};

pub(super) fn pick(candidates: ServerSet) -> Option<ServerId> {
    candidates.first()
}
