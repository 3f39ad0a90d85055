//! Warnings about health checks that were run once. A redirect passes by default, but it often
//! leads to a login page or to https, which a web server does without its application.

use super::report::Warning;
use crate::probe::Row;

/// The code of warnings about redirects that pass.
pub(super) const REDIRECT: &str = "redirect";

/// The code of warnings about health checks that fail.
pub(super) const FAILING: &str = "failing-check";

/// Returns a warning for each server whose health check fails, or passes by a redirect.
pub(super) fn warnings(rows: &[Row]) -> Vec<Warning> {
    rows.iter().filter_map(warning).collect()
}

fn warning(row: &Row) -> Option<Warning> {
    let check = format!("the health check of {}, server {},", row.service, row.server);
    if let Some(fault) = row.fault() {
        return Some(Warning { code: FAILING, message: format!("{check} does not pass: {fault}") });
    }
    let location = row.passing_redirect()?;
    let message = format!(
        "{check} redirects to {location} and passes: choose a path without a redirect, or set `expect_status: 200-299`"
    );
    Some(Warning { code: REDIRECT, message })
}
