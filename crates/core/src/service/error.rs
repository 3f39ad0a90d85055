//! Why the settings of a service are invalid.

use super::{Conflict, ServerUrlError};
use crate::server_set::ServerSet;

/// Why a service cannot be created: the first error in its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A service without a server, or with more than [`ServerSet::CAPACITY`].
    #[error("expected 1 to {max} servers, found {0}", max = ServerSet::CAPACITY)]
    ServerCount(usize),
    /// The address of a server is invalid. The message omits it, because it may have a password.
    #[error("server {position}: {error}")]
    ServerUrl {
        /// The position of the server, from 1.
        position: usize,
        /// The reason.
        error: ServerUrlError,
    },
    /// Two servers have this name, by which logs and the header `X-Served-By` identify them.
    #[error("two servers have the name `{0}`: set `Server::name` of one of them")]
    DuplicateName(String),
    /// The address of another server.
    #[error("duplicate server `{0}`")]
    DuplicateServer(String),
    /// A value outside of its range.
    #[error("`{setting}`: expected {least} to {most}, found {found}")]
    OutOfRange {
        /// The setting, such as `retry.attempts`.
        setting: String,
        /// The smallest value.
        least: String,
        /// The largest value.
        most: String,
        /// The value.
        found: String,
    },
    /// A string that the setting cannot have. The message omits it, because it may be a secret.
    #[error("`{setting}`: expected {expected}")]
    Invalid {
        /// The setting, such as `health_check.path`.
        setting: String,
        /// The strings that it can have.
        expected: &'static str,
    },
    /// Settings that exclude each other.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}
