//! What a request may read: everything, the public form, or nothing.

use tunnel_balancer_state::control::{Failures, Token};

use crate::http::{StatusRequest, StatusResponse};

/// The tokens of the endpoint, and what is shown without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The token of `status`.
    pub(crate) status: Option<Token>,
    /// The token of the control API, which also shows everything.
    pub(crate) control: Option<Token>,
    /// Whether the public form is shown without a token.
    pub(crate) public: bool,
    /// Whether everything is allowed without a token: on a listener that only this machine reaches.
    pub(crate) open: bool,
    /// Whether the control API is below the same prefix.
    pub(crate) has_control: bool,
}

/// What one request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Reads everything, and may use the control API.
    Control,
    /// Reads everything.
    Full,
    /// Reads the public form.
    Public,
}

impl Access {
    /// Returns what a request may do.
    ///
    /// # Errors
    /// 401 for a wrong token, and for a missing one if nothing is public. 429 after many of them.
    pub(crate) fn grant(
        &self,
        request: StatusRequest<'_>,
        failures: &mut Failures,
        now: u64,
    ) -> Result<Grant, StatusResponse> {
        let matches = |token: &Option<Token>| token.as_ref().is_some_and(|it| it.matches(request.authorization));
        if self.open || matches(&self.control) {
            Ok(if self.has_control { Grant::Control } else { Grant::Full })
        } else if matches(&self.status) {
            Ok(Grant::Full)
        } else if self.public && request.authorization.is_none() {
            Ok(Grant::Public)
        } else {
            Err(failures.refuse(request.authorization, now).into())
        }
    }
}
