//! The secrets that a file refers to. The host provides their values.

use std::cell::RefCell;

use crate::diagnostic::Code;
use crate::node::backticked;
use crate::report::Report;

/// The source of secrets, and the names that the file refers to.
pub(crate) struct Secrets<'a> {
    lookup: Option<&'a Lookup<'a>>,
    /// Stands for a secret that is missing or invalid. `None`: it is an error.
    substitute: Option<&'static str>,
    /// In order, each once.
    names: RefCell<Vec<String>>,
}

/// Returns the secret with a name.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

impl<'a> Secrets<'a> {
    /// Creates the secrets of a file. Without `lookup`, every secret is its reference,
    /// which is valid.
    pub(crate) fn new(lookup: Option<&'a Lookup<'a>>) -> Self {
        Self { lookup, substitute: None, names: RefCell::default() }
    }

    /// Sets what stands for a secret that is missing or invalid.
    pub(crate) fn with_substitute(self, substitute: &'static str) -> Self {
        Self { substitute: Some(substitute), ..self }
    }

    /// Returns whether secrets are looked up.
    pub(crate) const fn are_known(&self) -> bool {
        self.lookup.is_some()
    }

    /// Returns the names that the file refers to.
    pub(crate) fn into_names(self) -> Vec<String> {
        self.names.into_inner()
    }

    /// Returns the secret `name` of at least `least` bytes, or else its substitute.
    pub(crate) fn get(&self, name: &str, least: usize) -> Result<String, Report> {
        let mut names = self.names.borrow_mut();
        if let Err(index) = names.binary_search_by(|other| other.as_str().cmp(name)) {
            names.insert(index, name.to_owned());
        }
        drop(names);
        self.look_up(name, least).or_else(|report| self.or_substitute(report))
    }

    /// Returns the substitute of an invalid secret, or else the report.
    pub(crate) fn or_substitute(&self, report: Report) -> Result<String, Report> {
        self.substitute.map(str::to_owned).ok_or(report)
    }

    fn look_up(&self, name: &str, least: usize) -> Result<String, Report> {
        let Some(lookup) = self.lookup else { return Ok(format!("${{{name}}}")) };
        let report = |code, what: &str| {
            let report = Report::new(code, format!("the secret {} {what}", backticked(name)));
            report.hint(format!(
                "set it with `npx wrangler secret put {name}` for the Worker, or with `export {name}=…` for \
                 `tunnel-balancer`"
            ))
        };
        match lookup(name) {
            None => Err(report(Code::MissingSecret, "is not set")),
            Some(secret) if secret.trim().is_empty() => Err(report(Code::MissingSecret, "is empty")),
            Some(secret) if secret.len() < least => {
                let report = report(Code::InvalidSecret, &format!("is shorter than {least} bytes"));
                Err(report.hint(format!(
                    "set a longer one: `openssl rand -hex 32 | npx wrangler secret put {name}`, or `export \
                     {name}=$(openssl rand -hex 32)`"
                )))
            }
            Some(secret) => Ok(secret),
        }
    }
}
