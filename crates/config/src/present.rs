//! Settings that may contradict each other.

use crate::reader::Field;
use crate::report::Report;

/// The present ones of several settings that may contradict each other.
pub(crate) struct Present<'a>(pub(crate) Vec<Field<'a>>);

impl<'a> Present<'a> {
    pub(crate) fn first(&self) -> Option<Field<'a>> {
        self.0.first().copied()
    }

    /// Returns the first one, as the place of a conflict. `None` if one of them is invalid: once
    /// corrected, they may agree.
    pub(crate) fn culprit(&self) -> Option<Field<'a>> {
        self.first().filter(|_| self.0.iter().all(|field| field.is_valid()))
    }

    /// Reports a conflict at the first one, unless one of them is invalid.
    pub(crate) fn report(&self, conflict: Report) {
        if let Some(field) = self.culprit() {
            field.report(conflict);
        }
    }
}
