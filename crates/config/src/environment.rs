//! The facts outside of a file that decide how it is read.

use tunnel_balancer_core::domain_to_ascii;

use crate::platform::Platform;
use crate::secrets::Secrets;

/// What the program that reads a file provides.
pub(crate) struct Environment<'a> {
    pub(crate) secrets: Secrets<'a>,
    /// The program that is to serve the file; `None`: any.
    pub(crate) platform: Option<Platform>,
    /// Returns the ASCII form of an internationalized hostname.
    pub(crate) to_ascii: &'a dyn Fn(&str) -> Option<String>,
}

impl Default for Environment<'_> {
    /// An environment in which every secret is valid, for a file that any program may serve.
    fn default() -> Self {
        Self { secrets: Secrets::new(None), platform: None, to_ascii: &domain_to_ascii }
    }
}
