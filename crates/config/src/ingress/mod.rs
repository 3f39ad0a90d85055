//! The ingress rules of a tunnel: which hostnames and paths cloudflared passes on, and where to.
//!
//! The rules come from cloudflared's `config.yml`, from a Kubernetes `ConfigMap` around it, or from
//! the API's response for a tunnel that is configured in the dashboard. Keys without an influence
//! on routing are ignored.

mod container;
mod go_pattern;
mod hostname;
mod path;
mod read;
mod service;

use hostname::Hostname;
pub use path::Coverage;
use path::PathPattern;
pub use service::{IngressTarget, ingress_target};

use crate::diagnostic::Errors;
use crate::environment::Environment;
use crate::{lines, syntax, yaml};

/// The rules of one tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ingress {
    /// The name or ID of the tunnel, if the file has one.
    pub tunnel: Option<String>,
    /// The rules in order: the first one that matches a request decides.
    pub rules: Vec<IngressRule>,
}

/// A hostname and path, and the service that responds to their requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngressRule {
    /// The hostname as written, such as `*.example.com`. `None`: any.
    pub hostname: Option<String>,
    /// A regular expression that the path must contain a match of. `None`: any path.
    pub path: Option<String>,
    /// The service, such as `http://localhost:8080` or `http_status:404`.
    pub service: String,
    /// The `Host` header for the application, if it is not the one of the request.
    pub http_host_header: Option<String>,
    /// The line of the rule in its file, from 1.
    pub line: usize,
    /// Whether `bastionMode` holds, which replaces a service that is a URL.
    bastion: bool,
}

impl IngressRule {
    /// Returns whether the hostname of a request matches, whatever its path is.
    pub fn matches_host(&self, host: &str) -> bool {
        self.hostname().matches(host)
    }

    /// Returns whether a request matches. `path` has no query.
    pub fn matches(&self, host: &str, path: &str) -> bool {
        self.matches_host(host) && self.pattern().is_match(path)
    }

    /// Returns how many of the paths `prefix` and `prefix/...` match. The prefix of all paths is
    /// empty.
    pub fn coverage(&self, prefix: &str) -> Coverage {
        self.pattern().coverage(prefix)
    }

    /// Returns whether every request that matches `other` matches this rule, too. Only the same
    /// path, or one that matches every path, is recognized.
    pub fn covers(&self, other: &Self) -> bool {
        self.hostname().covers(&other.hostname()) && (self.path == other.path || self.coverage("") == Coverage::All)
    }

    /// Returns the kind of the service.
    pub fn target(&self) -> IngressTarget {
        service::classify(&self.service, self.bastion).unwrap_or(IngressTarget::Other)
    }

    /// Returns why cloudflared rejects this rule, if it does. Its place in the list is not checked.
    pub fn validate(&self) -> Option<String> {
        let hostname = self.hostname().validate();
        hostname
            .and_then(|()| service::classify(&self.service, self.bastion))
            .and_then(|_| self.pattern().validate())
            .err()
    }

    /// Returns whether every request matches, as cloudflared requires of the last rule.
    pub const fn is_catch_all(&self) -> bool {
        self.hostname.is_none() && self.path.is_none()
    }

    fn hostname(&self) -> Hostname<'_> {
        Hostname::new(self.hostname.as_deref())
    }

    fn pattern(&self) -> PathPattern {
        PathPattern::new(self.path.as_deref())
    }
}

/// Reads the ingress rules of cloudflared's `config.yml`.
///
/// # Errors
/// With every error in the part that is read.
///
/// ```
/// use tunnel_balancer_config::parse_ingress;
///
/// let yaml = "
/// tunnel: home
/// ingress:
///   - hostname: chat-a.example.com
///     service: http://localhost:8080
///   - service: http_status:404
/// ";
/// let ingress = parse_ingress(yaml)?;
/// assert!(ingress.rules[0].matches("chat-a.example.com", "/"));
/// assert_eq!(ingress.rules[0].line, 4);
/// assert!(ingress.rules[1].is_catch_all());
/// # Ok::<(), tunnel_balancer_config::Errors>(())
/// ```
pub fn parse_ingress(yaml: &str) -> Result<Ingress, Errors> {
    let yaml = yaml.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(yaml);
    let yaml = container::unwrap(yaml);
    let document = crate::document(&yaml, &Environment::default(), read::ingress);
    let (ingress, _) = document.map_err(|errors| with_hint_for_documents(&errors))?;
    // Without rules an error was reported.
    let (mut ingress, places) = ingress.unwrap_or_default();
    let lines = yaml::positions(&yaml, places.iter().copied());
    for (rule, place) in ingress.rules.iter_mut().zip(&places) {
        rule.line = lines.get(*place).map_or(1, |at| at.line);
    }
    Ok(ingress)
}

/// Replaces the hint for a second document, which cloudflared ignores.
fn with_hint_for_documents(errors: &Errors) -> Errors {
    let mut diagnostics = errors.diagnostics().to_vec();
    for diagnostic in diagnostics.iter_mut().filter(|diagnostic| diagnostic.message == syntax::SECOND_DOCUMENT) {
        diagnostic.hint = Some("remove it: cloudflared reads the first document only".to_owned());
    }
    Errors::new(diagnostics, errors.suppressed())
}

#[cfg(test)]
mod tests;
