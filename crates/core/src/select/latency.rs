//! `latency`: of two, the one that is likely to answer sooner, by the peak EWMA of its response times and its requests in
//! flight.

use super::{Candidate, SelectionInput, two_choices};
use crate::select::load::window;
use crate::server_set::ServerId;

pub(super) fn pick(choice: SelectionInput<'_>) -> Option<ServerId> {
    let (now, window) = (choice.now, window(choice.now, choice.longest));
    let cost = |candidate: &Candidate| candidate.latency.cost(candidate.in_flight.count_in(window), now);
    two_choices::pick(choice, |this, that| cost(this) < cost(that))
}
