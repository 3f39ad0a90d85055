//! `latency`: of two, the one that is likely to answer sooner, by the peak EWMA of its response times and its requests in
//! flight.

use super::{Choice, two_choices};
use crate::server::ServerId;

pub(super) fn pick(choice: Choice<'_>) -> Option<ServerId> {
    two_choices::pick(choice, |choice, this, that| cost(choice, this) < cost(choice, that))
}

fn cost(choice: &Choice<'_>, id: ServerId) -> f64 {
    choice.contender(id).map_or(f64::INFINITY, |contender| {
        let mut in_flight = contender.in_flight;
        contender.latency.cost(in_flight.count(choice.now, choice.longest), choice.now)
    })
}
