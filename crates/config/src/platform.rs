//! The programs that serve a configuration.

/// A program that serves a configuration. Some settings are only possible in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// The Worker on Cloudflare.
    Worker,
    /// The program `tunnel-balancer serve`.
    Serve,
}
