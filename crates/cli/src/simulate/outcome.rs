//! Which requests and attempts count as good.

use tunnel_balancer_core::Outcome;
use tunnel_balancer_sim::{End, RequestRecord, UpstreamRequest};

/// Returns whether the client received a good response.
pub(super) fn is_served(request: &RequestRecord) -> bool {
    matches!(request.end, Some((_, End::Answered { status, .. })) if !status.is_server_error())
}

/// Returns whether an attempt has no good response.
pub(super) fn is_failed(sent: &UpstreamRequest) -> bool {
    !matches!(sent.outcome, Some(Outcome::Status(status)) if !status.is_server_error())
}
