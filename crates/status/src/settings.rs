//! The settings of the endpoint.

use std::fmt;

use crate::Endpoint;

/// The setting `status` of a configuration.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusSettings {
    /// The prefix of all paths, without a trailing slash.
    pub path: String,
    /// The token that shows everything. Default: only the token of the control API does.
    pub token: Option<String>,
    /// Whether the public form is shown without a token.
    pub public: bool,
}

impl Default for StatusSettings {
    fn default() -> Self {
        Self { path: Endpoint::PREFIX.to_owned(), token: None, public: false }
    }
}

impl fmt::Debug for StatusSettings {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusSettings").field("path", &self.path).field("public", &self.public).finish_non_exhaustive()
    }
}
