//! The paths of the endpoint, and the view that each one shows.
//!
//! | path below the prefix | view | access |
//! |---|---|---|
//! | `/` | the page, which has no data | all clients |
//! | `/healthz` | the process responds | all clients |
//! | `/readyz` | the process takes traffic | all clients |
//! | `/status.json` | the report, or its public form | a token, or all clients if it is public |
//! | `/badge/TITLE.svg` | the state of one service | a token, or all clients if it is public |
//! | `/metrics` | the metrics | a token |
//!
//! A host calls [`Endpoint::receive`], which responds itself or returns a [`View`]. The host then
//! collects what the view needs, and calls [`View::render`].

use tunnel_balancer_state::control::{CONTROL_PATH, Failures, Token};
use tunnel_balancer_state::percent_decoded;

use crate::access::{Access, Grant};
use crate::http::{StatusRequest, StatusResponse};
use crate::page;
use crate::settings::StatusSettings;
use crate::view::{Content, View};

/// The paths below a prefix, and their access rules.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Without a trailing slash.
    prefix: String,
    access: Access,
}

/// What follows from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointOutcome {
    /// The response is complete.
    Response(StatusResponse),
    /// The response needs the state of the pools.
    View(View),
}

impl Endpoint {
    /// The default prefix of all paths.
    pub const PREFIX: &'static str = "/__balancer";

    /// Creates the endpoint of public hosts. `None` without `status`. Without any token, such as
    /// while a secret is missing, the paths stay those of the endpoint: requests may have the token
    /// of an operator, which is not for servers. `control` is the token of the control API.
    /// `has_control` is whether that API is below the same prefix.
    pub fn new(settings: Option<&StatusSettings>, control: Option<Token>, has_control: bool) -> Option<Self> {
        let settings = settings?;
        let access =
            Access { status: token(Some(settings)), control, public: settings.public, open: false, has_control };
        Some(Self { prefix: settings.path.clone(), access })
    }

    /// Creates the endpoint of a listener for operators, which has the control API. Without a
    /// token, everything is allowed: the host accepts only requests of this machine.
    pub fn admin(settings: Option<&StatusSettings>, control: Option<Token>) -> Self {
        let open = control.is_none();
        let access = Access { status: token(settings), control, public: false, open, has_control: true };
        Self { prefix: Self::PREFIX.to_owned(), access }
    }

    /// Returns the part of a path below the prefix: `""` or `/metrics`. `None` for other paths.
    pub fn path<'p>(&self, path: &'p str) -> Option<&'p str> {
        below(&self.prefix, path)
    }

    /// Returns whether a path is below the default prefix.
    pub fn is_below_default(path: &str) -> bool {
        below(Self::PREFIX, path).is_some()
    }

    /// Returns the path of the control API that a path stands for, such as
    /// [`CONTROL_PATH`]. `None` for other paths.
    pub fn control_path(&self, path: &str) -> Option<String> {
        let rest = below("/control", self.path(path)?)?;
        Some([CONTROL_PATH, rest].concat())
    }

    /// Responds to a request, or returns the view that it requests. `failures` are those of earlier
    /// requests. `is_ready` is whether the process takes traffic.
    pub fn receive(
        &self,
        request: StatusRequest<'_>,
        failures: &mut Failures,
        is_ready: bool,
        now: u64,
    ) -> EndpointOutcome {
        let is_head = request.method == "HEAD";
        let received = if is_head || request.method == "GET" {
            self.get(request, failures, is_ready, now)
        } else {
            Err(StatusResponse::text(405, "no such method").with_header("allow", "GET, HEAD"))
        };
        match received {
            Ok(content) => EndpointOutcome::View(View { content, is_head }),
            Err(response) if is_head => EndpointOutcome::Response(response.without_body()),
            Err(response) => EndpointOutcome::Response(response),
        }
    }

    /// Returns a view, or else the complete response.
    fn get(
        &self,
        request: StatusRequest<'_>,
        failures: &mut Failures,
        is_ready: bool,
        now: u64,
    ) -> Result<Content, StatusResponse> {
        let path = self.path(request.path).ok_or_else(StatusResponse::not_found)?;
        match path {
            "" | "/" => return Err(page::response()),
            "/healthz" => return Err(StatusResponse::text(200, "ok")),
            "/readyz" if is_ready => return Err(StatusResponse::text(200, "ok")),
            "/readyz" => return Err(StatusResponse::unavailable()),
            _ => {}
        }
        let badge = path.strip_prefix("/badge/").and_then(|name| name.strip_suffix(".svg"));
        if badge.is_none() && path != "/status.json" && path != "/metrics" {
            return Err(StatusResponse::not_found());
        }
        let grant = self.access.grant(request, failures, now)?;
        match (path, badge) {
            (_, Some(slug)) => {
                Ok(Content::Badge { slug: percent_decoded(slug).ok_or_else(StatusResponse::not_found)? })
            }
            ("/status.json", _) if grant == Grant::Public => Ok(Content::Public),
            ("/status.json", _) => {
                Ok(Content::Report { service: service_of(request.query)?, control: grant == Grant::Control })
            }
            _ if grant == Grant::Public => Err(failures.refuse(request.authorization, now).into()),
            _ => {
                let is_open = |accept: &str| accept.contains("application/openmetrics-text");
                Ok(Content::Metrics { open_metrics: request.accept.is_some_and(is_open) })
            }
        }
    }
}

/// Returns the token of the settings.
fn token(settings: Option<&StatusSettings>) -> Option<Token> {
    settings?.token.as_deref().and_then(|token| Token::new(token).ok())
}

/// Returns the value of `service` in a query.
fn service_of(query: &str) -> Result<Option<String>, StatusResponse> {
    let Some(value) = query.split('&').find_map(|pair| pair.strip_prefix("service=")) else { return Ok(None) };
    percent_decoded(value).map(Some).ok_or_else(|| StatusResponse::text(400, "invalid parameter `service`"))
}

/// Returns the rest of a path that is `prefix` or below it.
fn below<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
