//! `least_requests`: the less loaded of two random servers, relative to their weights.

use super::{Candidate, SelectionInput, two_choices};
use crate::select::load::epoch;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    let epoch = epoch(input.now, input.max_duration);
    let requests = |candidate: &Candidate| u64::from(candidate.in_flight.count_in(epoch));
    // Compares requests / weight without a division.
    two_choices::select(input, |this, that| {
        requests(this) * u64::from(that.weight) < requests(that) * u64::from(this.weight)
    })
}
