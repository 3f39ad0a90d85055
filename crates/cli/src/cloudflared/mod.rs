//! The tunnels of a services.yaml: the hostnames that they have to serve, and whether their files
//! serve them.

mod compare;
mod hosts;
mod lint;

use std::fmt;
use std::path::Path;

pub(crate) use compare::{RouteOutcome, compare, route};
pub(crate) use hosts::{NotTunneled, TunnelHost, tunnel_hosts};
use tunnel_balancer_config::{Ingress, IngressRule, parse_ingress};

use crate::{input, output};

/// A difference between a file and the map, or an error in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File and line, if it has one.
    pub(crate) at: Option<(String, usize)>,
    pub(crate) message: String,
    /// Whether requests are lost because of it. Otherwise it is a note.
    pub(crate) is_error: bool,
    /// What repairs it, and all findings of its kind.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.at {
            write!(f, "{file}:{line}: ")?;
        }
        write!(f, "{}: {}", if self.is_error { "error" } else { "note" }, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// The file of a tunnel.
#[derive(Debug)]
pub(crate) struct IngressFile {
    pub(crate) name: String,
    pub(crate) ingress: Ingress,
}

impl IngressFile {
    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::parse(&path.display().to_string(), &input::yaml(path)?)
    }

    /// Reads the content of a file.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let ingress = parse_ingress(text).map_err(|errors| output::rendered(&errors, name, text))?;
        Ok(Self { name: name.to_owned(), ingress })
    }

    fn finding(&self, rule: &IngressRule, message: String, is_error: bool) -> Finding {
        Finding { at: Some((self.name.clone(), rule.line)), message, is_error, hint: None }
    }
}
