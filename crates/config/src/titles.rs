//! `title`: the name of a service on status pages.

use std::collections::BTreeMap;

use tunnel_balancer_core::Service;
use tunnel_balancer_status::slug;

use crate::diagnostic::Code;
use crate::node::{NodeId, Value, backticked, quoted};
use crate::primitives::quotable_string;
use crate::reader::Field;
use crate::report::Report;
use crate::value_schema::StringSchema;

pub(crate) const TITLE: StringSchema =
    StringSchema { what: "a name", pattern: r"^[\t-\r ]*[^\x00-\x1f]+[\t-\r ]*$", longest: None };

/// The largest number of characters.
const MAX_CHARS: usize = 60;

/// Reads a title.
pub(crate) fn title(value: &Value<'_>) -> Result<String, Report> {
    let text = quotable_string(value, "a name such as `Chat`")?.trim();
    let is_short = text.chars().count() <= MAX_CHARS;
    if is_short && !text.chars().any(char::is_control) && !slug(text).is_empty() {
        return Ok(text.to_owned());
    }
    let report = Report::new(Code::InvalidValue, format!("{} cannot be the title of a service", quoted(text)));
    Err(report.hint(format!("use 1 to {MAX_CHARS} characters, with a letter or a digit")))
}

/// The titles so far. Badges are found by them, whatever the case and the punctuation are.
pub(crate) struct UniqueTitles {
    /// Whether titles that no service sets are compared.
    with_defaults: bool,
    /// The last use of each title.
    slugs: BTreeMap<String, usize>,
    uses: Vec<TitleUse>,
}

struct TitleUse {
    /// The node of the title, or of its service.
    at: NodeId,
    /// Whether the title was set explicitly.
    is_set: bool,
}

impl UniqueTitles {
    pub(crate) const fn new(with_defaults: bool) -> Self {
        Self { with_defaults, slugs: BTreeMap::new(), uses: Vec::new() }
    }

    /// Reports a title that an earlier service has.
    pub(crate) fn add(&mut self, service: &Service, field: Field<'_>) {
        let own = field.get("title");
        if own.is_none() && !self.with_defaults {
            return;
        }
        let at = own.unwrap_or(field);
        let known = self.slugs.insert(slug(&service.title), self.uses.len());
        self.uses.push(TitleUse { at: at.node().id, is_set: own.is_some() });
        let Some(other) = known.and_then(|known| self.uses.get(known)) else { return };
        let message = format!("two services have the title {}", backticked(&service.title));
        let hint = if own.is_some() && other.is_set {
            "change one of them: the status page and badges identify services by title"
        } else {
            "set the `title` of one of them: the default is the first label of the hostname"
        };
        at.report(Report::new(Code::DuplicateName, message).related(other.at, "first used here").hint(hint));
    }
}
