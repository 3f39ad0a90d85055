//! What health checks say that were run once. A redirect passes by default, and often it leads to a
//! login page or to https, which a web server does without its application.

use super::Remark;
use crate::probe::Row;

/// The code of warnings of redirects that pass.
pub(super) const REDIRECT: &str = "redirect";

/// The code of warnings of health checks that do not pass.
pub(super) const FAILING: &str = "failing-check";

/// A warning for each server whose health check fails, or passes by a redirect.
pub(super) fn remarks(rows: &[Row]) -> Vec<Remark> {
    let remark = |row: &Row| {
        let whose = format!("the health check of {}, server {},", row.service, row.server);
        if let Some(why) = row.fault() {
            return Some(Remark { code: FAILING, message: format!("{whose} does not pass: {why}") });
        }
        let to = row.passing_redirect()?;
        let message = format!(
            "{whose} redirects to {to} and passes: choose a path that the application answers itself, or `expect_status: 200-299`"
        );
        Some(Remark { code: REDIRECT, message })
    };
    rows.iter().filter_map(remark).collect()
}
