//! Reads `services.yaml` into a checked configuration, or reports every error in it with position,
//! path and hint.
//!
//! All errors are reported at once, so that one edit can correct them. Unknown keys and values are
//! errors. Nothing is replaced by a default silently.
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
//!     r#"services.yaml:2:23: error[unknown-key]: unknown key `server` at services."chat.example.com"
//!   hint: did you mean `servers`?"#
//! );
//! # Ok::<(), tunnel_balancer_config::Errors>(())
//! ```
//!
//! A file refers to secrets by name: `key: "${AFFINITY_KEY}"`. [`parse`] checks a file without
//! them, for example when a Worker is built. [`parse_with`] gets them from the host and returns a
//! configuration that can serve traffic.
//!
//! A setting is an entry in a table (`settings.rs`, `server.rs`, `retry.rs` and others): its name,
//! its description, and the function that reads it. With the feature `schema`, the tables also give
//! a JSON Schema and a reference. With the feature `render`, diagnostics are rendered with the
//! lines of the file.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod affinity;
#[cfg(feature = "schema")]
mod all_settings;
mod available;
mod brackets;
mod diagnostic;
mod diff;
mod duration;
mod ejection;
mod environment;
mod failback;
mod fallback_loops;
mod file;
mod headers;
mod health_check;
mod host;
#[cfg(feature = "ingress")]
mod ingress;
#[cfg(feature = "schema")]
mod json;
mod lines;
mod lint;
mod node;
mod notify;
mod placement;
mod platform;
mod policy;
mod primitives;
mod reader;
mod redact;
#[cfg(feature = "render")]
mod redact_line;
#[cfg(feature = "schema")]
mod reference;
mod renamed;
#[cfg(feature = "render")]
mod render;
mod report;
mod retry;
mod scalar;
pub mod scenario;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod secrets;
mod server;
mod server_url;
mod settings;
mod size;
mod slips;
mod span;
mod status;
mod statuses;
mod subrequests;
mod suggest;
mod synonyms;
mod syntax;
mod titles;
mod tls;
mod token;
mod tunnel_id;
mod unknown_key;
mod value_schema;
mod yaml;

use std::path::Path;

use tunnel_balancer_core::{Service, domain_to_ascii};
use tunnel_balancer_state::{HealthSharing, NotifyTarget};
use tunnel_balancer_status::StatusSettings;

use crate::environment::Environment;
use crate::secrets::Secrets;

#[cfg(feature = "schema")]
pub use all_settings::all_settings;
pub use available::{Available, parse_available};
pub use diagnostic::{Code, Diagnostic, Errors, Related, Severity};
pub use diff::{Change, ConfigDiff, ServerDiff, ServiceDiff, SettingChange, diff_services};
pub use duration::{format_duration, parse as parse_duration};
pub use host::normalize_address;
#[cfg(feature = "ingress")]
pub use ingress::{Coverage, Ingress, IngressRule, IngressTarget, ingress_target, parse_ingress};
#[cfg(feature = "schema")]
pub use json::as_json;
pub use platform::Platform;
pub use policy::policy_names;
pub use redact::redact_urls;
#[cfg(feature = "schema")]
pub use reference::reference;
#[cfg(feature = "render")]
pub use render::SourceFile;
pub use scalar::yaml_scalar;
#[cfg(feature = "schema")]
pub use schema::schema;
pub use size::parse as parse_size;
pub use subrequests::{MAX_SUBREQUESTS, Subrequests};
pub use tunnel_id::is_tunnel_id;

/// The largest file, in bytes. It has room for thousands of services, and a Worker parses it within
/// its limits.
pub const MAX_BYTES: usize = 256 * 1024;

/// A valid file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// Where the health of servers is shared.
    pub health_sharing: HealthSharing,
    /// Where outages are announced, and heartbeats are sent.
    pub notify: Vec<NotifyTarget>,
    /// The status endpoint. `None`: there is none.
    pub status: Option<StatusSettings>,
    /// The names of the secrets that the file refers to, in alphabetical order.
    pub secrets: Vec<String>,
    /// The warnings, in the order of the lines. [`parse_with`] returns none.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Makes the relative paths of files such as `ca` start at the directory of `file`, the
    /// configuration.
    pub fn resolve_files(&mut self, file: &Path) {
        let directory = file.parent().unwrap_or(file);
        for server in self.services.iter_mut().flat_map(Service::servers_mut) {
            if let Some(ca) = &mut server.tls.ca {
                *ca = directory.join(&*ca).display().to_string();
            }
        }
    }
}

/// Checks a configuration without its secrets.
///
/// In the configuration, every secret is its reference, such as `${AFFINITY_KEY}`. **It must not
/// serve traffic if [`Config::secrets`] is not empty**: use [`parse_with`] for that.
///
/// # Errors
/// With all errors in the file, or with its first syntax error.
pub fn parse(yaml: &str) -> Result<Config, Errors> {
    read(yaml, Environment::default())
}

/// Checks a configuration like [`parse`], for one of the programs that serve it: a setting that it
/// does not support is an error, and limits and addresses of the other one are not reported.
///
/// # Errors
/// Like [`parse`].
///
/// ```
/// use tunnel_balancer_config::{Platform, parse_for};
///
/// let yaml = "services: { chat.example.com: \"http://192.168.1.20:8080\" }";
/// assert_eq!(parse_for(yaml, Platform::Worker)?.warnings.len(), 1);
/// assert_eq!(parse_for(yaml, Platform::Serve)?.warnings, []);
/// # Ok::<(), tunnel_balancer_config::Errors>(())
/// ```
pub fn parse_for(yaml: &str, platform: Platform) -> Result<Config, Errors> {
    read(yaml, Environment { platform: Some(platform), ..Environment::default() })
}

/// Reads a configuration that serves traffic. `secret` returns the secret with a name: that of a
/// Worker, or an environment variable.
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
    read(yaml, Environment { secrets: Secrets::new(Some(secret)), ..Environment::default() })
}

/// Reads a scenario for a simulation. `services` replaces its own services.
///
/// # Errors
/// Like [`parse`].
pub fn parse_scenario(yaml: &str, services: Option<&[Service]>) -> Result<scenario::Scenario, Errors> {
    let (read, _) = document(yaml, &Environment::default(), |root| scenario::scenario(root, services))?;
    read.ok_or_else(|| alone(Code::InvalidServers, lines::START, "no service to simulate".to_owned(), None))
}

/// Reads the state of servers of `service`, for explanations.
///
/// # Errors
/// Like [`parse`].
pub fn parse_server_states(yaml: &str, service: &Service) -> Result<Vec<scenario::ServerState>, Errors> {
    let environment = Environment::default();
    document(yaml, &environment, |root| scenario::server_states(root, service)).map(|(states, _)| states)
}

impl Default for Environment<'_> {
    /// Creates an environment in which every secret is valid, for a file that any program may
    /// serve.
    fn default() -> Self {
        Self { secrets: Secrets::new(None), platform: None, to_ascii: &domain_to_ascii, key_owners: placement::owners }
    }
}

fn read(yaml: &str, environment: Environment<'_>) -> Result<Config, Errors> {
    let (file, warnings) = document(yaml, &environment, file::file)?;
    let file::File { services, health_sharing, notify, status } = file;
    Ok(Config { services, health_sharing, notify, status, secrets: environment.secrets.into_names(), warnings })
}

/// Reads a document with `read`. Returns its value and the warnings.
fn document<T>(
    yaml: &str,
    environment: &Environment<'_>,
    read: impl FnOnce(reader::Field<'_>) -> T,
) -> Result<(T, Vec<Diagnostic>), Errors> {
    if yaml.len() > MAX_BYTES {
        return Err(alone(Code::TooLarge, lines::START, format!("the file is larger than {MAX_BYTES} bytes"), None));
    }
    // Some editors add a byte order mark.
    let yaml = yaml.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(yaml);
    let root =
        yaml::read(yaml).map_err(|error| alone(Code::Syntax, error.position, error.message, error.hint.as_deref()))?;
    let reports = report::Reports::new(!environment.secrets.are_known());
    let read = read(reader::Field::new(&root, &reports, environment));
    Ok((read, reports.into_warnings(yaml, &root)?))
}

fn alone(code: Code, at: lines::Position, message: String, hint: Option<&str>) -> Errors {
    let (path, hint) = (String::new(), hint.map(str::to_owned));
    let end_column = at.column + 1;
    let related = Vec::new();
    Errors::new(
        vec![Diagnostic { line: at.line, column: at.column, end_column, path, message, hint, code, related }],
        0,
    )
}
