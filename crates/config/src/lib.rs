//! Reads `services.yaml`: a checked configuration, or every mistake in it with line, column, path
//! and a hint.
//!
//! A file is edited by hand, often in a hurry and sometimes in a browser, so a mistake must cost
//! one look: all of them are told at once, each where it stands, and nothing is guessed. What is
//! not understood is an error, never a default.
//!
//! ```
//! use tunnel_balancer_config::parse;
//!
//! let config = parse("services: { chat.example.com: [chat-a.example.com, chat-b.example.com] }")?;
//! assert_eq!(config.services[0].servers()[1].name, "chat-b");
//!
//! let errors = parse("services:\n  chat.example.com: { server: chat-a.example.com }").unwrap_err();
//! assert_eq!(
//!     errors.in_file("services.yaml").to_string(),
//!     r#"services.yaml:2:21: error[missing-key]: the key `servers` is missing at services."chat.example.com"
//!   hint: write `servers: [chat-a.example.com]`
//! services.yaml:2:23: error[unknown-key]: unknown key `server` at services."chat.example.com"
//!   hint: did you mean `servers`?"#
//! );
//! # Ok::<(), tunnel_balancer_config::Errors>(())
//! ```
//!
//! A file holds no secrets but refers to them, as in `key: "${AFFINITY_KEY}"`. [`parse`] checks a
//! file where they are not known, as when a Worker is built; [`parse_with`] asks the host for them
//! and gives a configuration that can serve.
//!
//! A new setting is one entry in a table of keys (`settings.rs`, `server.rs`, `retry.rs` and so
//! on): its name, what it is, and how it is read. With the feature `schema` the same tables give a
//! JSON Schema for editors and a reference for people.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod affinity;
mod available;
#[cfg(feature = "schema")]
mod defaults;
mod diagnostic;
mod duration;
mod ejection;
mod failback;
mod file;
mod headers;
mod health_check;
mod host;
#[cfg(feature = "ingress")]
mod ingress;
mod node;
mod policy;
mod reader;
mod redact;
#[cfg(feature = "schema")]
mod reference;
mod renamed;
mod report;
mod retry;
mod scalar;
pub mod scenario;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod server;
mod settings;
mod size;
mod span;
mod statuses;
mod subrequests;
mod suggest;
mod syntax;
mod token;
mod value_schema;
mod warnings;
mod yaml;

use tunnel_balancer_core::Service;

pub use available::{Available, parse_available};
#[cfg(feature = "schema")]
pub use defaults::as_json;
pub use diagnostic::{Code, Diagnostic, Errors, Severity};
pub use duration::{format_duration, parse as parse_duration};
pub use headers::is_sensitive_name;
pub use host::normalize_address;
#[cfg(feature = "ingress")]
pub use ingress::{Coverage, Ingress, IngressRule, IngressTarget, ingress_target, parse_ingress};
pub use redact::redact_urls;
#[cfg(feature = "schema")]
pub use reference::reference;
pub use scalar::yaml_scalar;
#[cfg(feature = "schema")]
pub use schema::schema;
pub use size::parse as parse_size;
pub use subrequests::{MAX_SUBREQUESTS, Subrequests};
pub use syntax::Lines;

/// The largest text that is read, in bytes: room for thousands of services, and read within a
/// Worker's limits.
pub const MAX_BYTES: usize = 256 * 1024;

/// A file without a mistake.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// One service per public host, in the order of the file.
    pub services: Vec<Service>,
    /// The names of the secrets that the file refers to, in alphabetical order, each once.
    pub secrets: Vec<String>,
    /// What is probably not meant so, in the order of the lines. Only [`parse`] looks for it: who
    /// serves has no use for it.
    pub warnings: Vec<Diagnostic>,
}

/// Checks a configuration without knowing any secret.
///
/// Where the file refers to a secret, the configuration holds a fixed text that everybody knows. So
/// **it must not serve traffic when [`Config::secrets`] is not empty**: use [`parse_with`] for
/// that.
///
/// # Errors
/// With everything that is wrong with it. Only what is no YAML at all is told alone, because
/// nothing more is known then.
pub fn parse(yaml: &str) -> Result<Config, Errors> {
    read(yaml, secret::Secrets::new(None))
}

/// Reads a configuration to serve with. `secret` knows the secret with a name: a Worker's, or an
/// environment variable.
///
/// # Errors
/// Like [`parse`], and with every secret that is missing, empty or too short.
///
/// ```
/// use tunnel_balancer_config::{Code, parse_with};
///
/// let yaml = r#"
/// services:
///   chat.example.com:
///     servers: [chat-a.example.com, chat-b.example.com]
///     affinity: { cookie: lb, key: "${AFFINITY_KEY}" }
/// "#;
/// let config = parse_with(yaml, &|_| Some("0123456789abcdef".to_owned()))?;
/// assert_eq!(config.secrets, ["AFFINITY_KEY"]);
///
/// let errors = parse_with(yaml, &|_| None).unwrap_err();
/// assert_eq!(errors.diagnostics()[0].code, Code::MissingSecret);
/// # Ok::<(), tunnel_balancer_config::Errors>(())
/// ```
pub fn parse_with(yaml: &str, secret: &dyn Fn(&str) -> Option<String>) -> Result<Config, Errors> {
    read(yaml, secret::Secrets::new(Some(secret)))
}

/// Reads a scenario for a simulation. `services` take the place of those that it names itself, if
/// it does.
///
/// # Errors
/// Like [`parse`].
pub fn parse_scenario(yaml: &str, services: Option<&[Service]>) -> Result<scenario::Scenario, Errors> {
    let (read, _) = document(yaml, &secret::Secrets::new(None), |root| scenario::scenario(root, services))?;
    read.ok_or_else(|| alone(Code::InvalidServers, syntax::START, "there is no service to simulate".to_owned(), None))
}

/// Reads the state of servers of `service`, for explanations.
///
/// # Errors
/// Like [`parse`].
pub fn parse_server_states(yaml: &str, service: &Service) -> Result<Vec<scenario::ServerState>, Errors> {
    let secrets = secret::Secrets::new(None);
    document(yaml, &secrets, |root| scenario::server_states(root, service)).map(|(states, _)| states)
}

fn read(yaml: &str, secrets: secret::Secrets<'_>) -> Result<Config, Errors> {
    let (services, warnings) = document(yaml, &secrets, file::services)?;
    Ok(Config { services, secrets: secrets.into_names(), warnings })
}

/// What `read` makes of a text in which it finds nothing wrong, and what is probably not meant so.
fn document<T>(
    yaml: &str,
    secrets: &secret::Secrets<'_>,
    read: impl FnOnce(reader::Field<'_>) -> T,
) -> Result<(T, Vec<Diagnostic>), Errors> {
    if yaml.len() > MAX_BYTES {
        return Err(alone(Code::TooLarge, syntax::START, format!("this is larger than {MAX_BYTES} bytes"), None));
    }
    // Some editors begin a file with a mark that says no more than that it is UTF-8.
    let yaml = yaml.strip_prefix(syntax::BYTE_ORDER_MARK).unwrap_or(yaml);
    let root = yaml::read(yaml).map_err(|error| alone(Code::Syntax, error.position, error.message, error.hint))?;
    let reports = report::Reports::new(!secrets.are_known());
    let read = read(reader::Field::new(&root, &reports, secrets));
    Ok((read, reports.into_warnings(yaml, &root)?))
}

fn alone(code: Code, at: syntax::Position, message: String, hint: Option<&str>) -> Errors {
    let (path, hint) = (String::new(), hint.map(str::to_owned));
    let end_column = at.column + 1;
    Errors::new(vec![Diagnostic { line: at.line, column: at.column, end_column, path, message, hint, code }], 0)
}
