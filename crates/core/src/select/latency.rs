//! `latency`: of two random servers, the one with the shorter estimated wait.
//!
//! The estimate is the peak EWMA of the server's response times, multiplied by its queue of
//! requests in flight.

use super::{Candidate, SelectionInput, two_choices};
use crate::select::load::epoch;
use crate::server_set::ServerId;

pub(super) fn select(input: SelectionInput<'_>) -> Option<ServerId> {
    let (now, epoch) = (input.now, epoch(input.now, input.max_duration));
    let wait = |candidate: &Candidate| candidate.latency.estimated_wait(candidate.in_flight.count_in(epoch), now);
    two_choices::select(input, |this, that| wait(this) < wait(that))
}
