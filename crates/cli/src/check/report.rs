//! The result of checking one map.

use tunnel_balancer_config::{Config, Diagnostic, Errors};

use crate::budget::Budget;
use crate::cloudflared::Finding;

/// Everything that is reported about one map.
pub(super) struct Report {
    /// Its name for messages.
    pub(super) file: String,
    pub(super) source: String,
    pub(super) checked: Result<Config, Errors>,
    /// The estimated usage. `None`: the map has errors, or is not for the Worker.
    pub(super) budget: Option<Budget>,
    /// Warnings without a line.
    pub(super) file_warnings: Vec<Warning>,
    /// The comparison with the files of tunnels. `None`: not requested, or the map has errors.
    pub(super) tunnels: Option<Comparison>,
    /// The comparison with the routes of a wrangler.toml.
    pub(super) routes: Option<Comparison>,
}

/// A warning without a line.
pub(super) struct Warning {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The comparison of a map with the files of tunnels or with routes.
pub(super) struct Comparison {
    pub(super) findings: Vec<Finding>,
    /// The number of hostnames that tunnels should serve, or of services that need a route.
    pub(super) hosts: usize,
}

/// The largest value of a Worker's variable, in bytes. Source: Cloudflare's limits of Workers.
pub(super) const MAX_VARIABLE: usize = 5 * 1024;

impl Report {
    /// Returns whether the map can be the Worker's variable `SERVICES_YAML`.
    pub(super) const fn fits_variable(&self) -> bool {
        self.source.len() <= MAX_VARIABLE
    }

    /// Returns the errors, or the warnings if there are none.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        match &self.checked {
            Ok(config) => &config.warnings,
            Err(errors) => errors.diagnostics(),
        }
    }

    /// Returns the number of errors that are counted but not listed.
    pub(super) fn more(&self) -> usize {
        self.checked.as_ref().err().map_or(0, Errors::suppressed)
    }

    pub(super) fn errors(&self) -> usize {
        self.checked.as_ref().err().map_or(0, |errors| errors.diagnostics().len() + errors.suppressed())
    }

    pub(super) fn warnings(&self) -> usize {
        self.checked.as_ref().map_or(0, |config| config.warnings.len()) + self.file_warnings.len()
    }

    pub(super) fn has_missing(&self) -> bool {
        self.tunnels.iter().chain(&self.routes).any(Comparison::has_errors)
    }
}

impl Comparison {
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.is_error)
    }
}
