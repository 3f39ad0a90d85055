//! Why a command is refused.

use std::fmt;

use serde::Serialize;

/// Why a command or a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlError {
    /// The stable code, for programs.
    #[serde(rename = "error")]
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The status of the response.
    #[serde(skip)]
    pub status: u16,
}

impl ControlError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, status }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_command", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "conflict", message)
    }

    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Returns the error for a name that is not one of `known`.
    pub(super) fn unknown(what: &'static str, name: &str, known: &[&str]) -> Self {
        /// More names would hide the message.
        const MAX: usize = 10;
        let code = if what == "server" { "unknown_server" } else { "unknown_service" };
        let similar = |other: &&&str| is_similar(name, other);
        let listed: Vec<&str> = match known.iter().filter(similar).copied().collect::<Vec<_>>() {
            none if none.is_empty() => known.iter().take(MAX).copied().collect(),
            similar => similar.into_iter().take(MAX).collect(),
        };
        let more = if known.len() > MAX && listed.len() == MAX { ", ..." } else { "" };
        let error = Self::new(404, code, format!("unknown {what} `{}`", shortened(name)));
        error.hint(format!("expected one of {}{more}", listed.join(", ")))
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ControlError {}

/// Returns whether a name is probably meant for another one: a typing error, or a part of it.
fn is_similar(name: &str, other: &str) -> bool {
    let (name, other) = (name.to_ascii_lowercase(), other.to_ascii_lowercase());
    name.len() >= 3 && (other.contains(&name) || tunnel_balancer_core::host::is_similar(&name, &other))
}

/// Returns the start of a string that a client chose.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
