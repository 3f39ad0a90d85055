//! `least_requests`: the less busy of two, in proportion to their weights.

use super::{Choice, two_choices};
use crate::server::ServerId;

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    two_choices::pick(choice, |choice, this, that| {
        // requests / weight, compared without a division.
        requests(choice, this) * choice.weight(that) < requests(choice, that) * choice.weight(this)
    })
}

fn requests(choice: &Choice<'_>, id: ServerId) -> u64 {
    choice.contender(id).map_or(0, |contender| {
        let mut in_flight = contender.in_flight;
        u64::from(in_flight.count(choice.now, choice.longest))
    })
}
