//! `least_requests`: the less busy of two, in proportion to their weights.

use super::{Candidate, SelectionInput, two_choices};
use crate::select::load::window;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    let window = window(input.now, input.max_duration);
    let requests = |candidate: &Candidate| u64::from(candidate.in_flight.count_in(window));
    // requests / weight, compared without a division.
    two_choices::select(input, |this, that| {
        requests(this) * u64::from(that.weight) < requests(that) * u64::from(this.weight)
    })
}
