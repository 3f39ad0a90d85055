//! `latency`: of two, the one that is likely to answer sooner, by the peak EWMA of its response times and its requests in
//! flight.

use super::{Candidate, SelectionInput, two_choices};
use crate::select::load::window;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    let (now, window) = (input.now, window(input.now, input.max_duration));
    let cost = |candidate: &Candidate| candidate.latency.cost(candidate.in_flight.count_in(window), now);
    two_choices::select(input, |this, that| cost(this) < cost(that))
}
