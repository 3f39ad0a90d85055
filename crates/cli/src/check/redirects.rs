//! Health checks that are answered by a redirect. It passes by default, and often it leads to a login page or to https, which
//! a web server does without its application.

use super::Remark;
use crate::probe::Row;

/// The code of its warnings.
pub(super) const CODE: &str = "redirect";

/// A warning for each server that redirects its health check and passes.
pub(super) fn remarks(rows: &[Row]) -> Vec<Remark> {
    let remark = |row: &Row| {
        let to = row.passing_redirect()?;
        let message = format!(
            "the health check of {}, server {}, redirects to {to} and passes: choose a path that the application answers \
             itself, or `expect: 200-299`",
            row.service, row.server
        );
        Some(Remark { code: CODE, message })
    };
    rows.iter().filter_map(remark).collect()
}
