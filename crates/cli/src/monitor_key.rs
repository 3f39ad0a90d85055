//! The secret that a Worker and its monitors share.

use std::env;

use tunnel_balancer_native::{PushTarget, PushUrl};

/// Returns the Worker at this URL, with the secret of the environment.
///
/// # Errors
/// If there is no secret, or a short one. The message is for the terminal.
pub(crate) fn target(url: PushUrl) -> Result<PushTarget, String> {
    let name = PushTarget::KEY_VARIABLE;
    let hint = format!("\n  hint: set {name} in the environment, to the value of the Worker's secret");
    let key = env::var(name).map_err(|_| format!("error: missing secret {name}{hint}"))?;
    PushTarget::new(url, key.trim()).map_err(|error| format!("error: {error}{hint}"))
}
