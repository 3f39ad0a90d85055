//! The control API: requests and responses as values, for all hosts.
//!
//! | request | response |
//! |---|---|
//! | `GET` of [`CONTROL_PATH`] | services, servers and changes in force |
//! | `GET` of `CONTROL_PATH/history` | what happened, newest first |
//! | `POST` to [`CONTROL_PATH`] | carries out one [`Command`] |
//!
//! The host checks the token before it calls [`Control::respond`]: see
//! [`Failures::check`](super::Failures::check).

use super::Control;
use super::change::Override;
use super::command::Command;
use super::error::ControlError;
use super::report::{ListedService, change_json, status_json};
use crate::history::HistoryFilter;
use crate::json::Object;
use crate::percent_decoded;

/// The path of the control API.
pub const CONTROL_PATH: &str = "/__balancer/control";

/// A request to the control API.
#[derive(Clone, Copy, Debug, Default)]
pub struct ControlRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, with [`CONTROL_PATH`].
    pub path: &'a str,
    /// The part of the URL after `?`, or an empty string.
    pub query: &'a str,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The host and port that the client addressed.
    pub host: Option<&'a str>,
    /// The header `Origin`, which browsers send for requests of pages. Only pages of the same host
    /// are accepted, such as the status page.
    pub origin: Option<&'a str>,
    /// The body. Hosts need not read more than [`Self::MAX_BODY`] and one byte.
    pub body: &'a [u8],
}

/// A response of the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlResponse {
    /// The status.
    pub status: u16,
    /// A JSON object.
    pub body: String,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// What a request caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlOutcome {
    /// The response.
    pub response: ControlResponse,
    /// The overrides that changed: see [`Control::run`]. If there are any, the host stores the
    /// document and applies the overrides before it sends the response.
    pub changed: Vec<Override>,
}

impl ControlRequest<'_> {
    /// The largest body, in bytes.
    pub const MAX_BODY: usize = 16 * 1024;

    /// Returns whether no page of another host sent it.
    fn has_own_origin(&self) -> bool {
        let Some(origin) = self.origin else { return true };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.zip(self.host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    }
}

impl ControlResponse {
    /// Returns its headers: names in lower case, and values.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
        ];
        headers.extend(self.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        headers.extend((self.status == 401).then(|| ("www-authenticate", "Bearer".to_owned())));
        headers.extend((self.status == 405).then(|| ("allow", "GET, POST".to_owned())));
        headers
    }

    fn ok(body: Object) -> Self {
        Self { status: 200, body: line(body), retry_after: None }
    }

    /// Returns the response for a path that the API does not have.
    pub fn not_found() -> Self {
        ControlError::new(404, "not_found", "no such path").hint(format!("the control API is {CONTROL_PATH}")).into()
    }

    /// Returns the response for a request that a page in a browser may have sent.
    pub fn forbidden() -> Self {
        let error = ControlError::new(403, "forbidden", "requests of other web pages are refused");
        error.hint("without a token, name this machine in the URL, such as 127.0.0.1").into()
    }

    /// Returns the response of a Worker that has no storage for changes.
    pub fn no_storage() -> Self {
        let message = "`health_sharing` is neither `durable_object` nor `kv`, so changes cannot be stored";
        ControlError::new(409, "no_storage", message).hint("set `health_sharing` in services.yaml").into()
    }

    /// Returns the response to a command that Workers KV has no write for. `wait_ms` is the time
    /// until its next day, in milliseconds.
    pub(crate) fn daily_limit(wait_ms: u64) -> Self {
        let message = "the writes of Workers KV that are left for today (UTC) are reserved for the states of servers";
        let error = ControlError::new(429, "daily_limit", message);
        let hint = "change services.yaml and deploy it, or send the command after 00:00 UTC";
        Self { retry_after: Some(wait_ms.div_ceil(1000)), ..error.hint(hint).into() }
    }

    /// Returns the response for a request that the host cannot carry out.
    pub fn error(status: u16, code: &'static str, message: &str) -> Self {
        ControlError::new(status, code, message).into()
    }

    /// Adds a warning to a JSON object.
    #[must_use]
    pub fn with_warning(self, warning: &str) -> Self {
        Self { body: line(Object::of_json(self.body.trim_end()).text("warning", warning)), ..self }
    }
}

impl From<ControlError> for ControlResponse {
    fn from(error: ControlError) -> Self {
        Self { status: error.status, body: line(Object::of(&error)), retry_after: None }
    }
}

impl Control {
    /// Responds to a request with a valid token. `services` are those of the configuration, without
    /// overrides.
    pub fn respond(&mut self, request: ControlRequest<'_>, services: &[ListedService<'_>], now: u64) -> ControlOutcome {
        let mut changed = Vec::new();
        let response = self.result(request, services, now, &mut changed).unwrap_or_else(ControlResponse::from);
        ControlOutcome { response, changed }
    }

    fn result(
        &mut self,
        request: ControlRequest<'_>,
        services: &[ListedService<'_>],
        now: u64,
        changed: &mut Vec<Override>,
    ) -> Result<ControlResponse, ControlError> {
        if !request.has_own_origin() {
            return Ok(ControlResponse::forbidden());
        }
        let path = request.path.strip_prefix(CONTROL_PATH).map(|path| path.trim_end_matches('/'));
        match (request.method, path) {
            ("GET", Some("")) => Ok(ControlResponse::ok(status_json(self, services, now))),
            ("GET", Some("/history")) => {
                let filter = history_filter(request.query)?;
                let entries = self.history.query(&filter).map(Object::of);
                Ok(ControlResponse::ok(Object::default().number("now", now).objects("history", entries)))
            }
            ("POST", Some("")) => {
                let command = command(request)?;
                *changed = self.run(&command, services.iter().map(|listed| listed.service), now)?;
                let changes = changed.iter().map(|it| change_json(it, now));
                Ok(ControlResponse::ok(Object::default().number("now", now).objects("changed", changes)))
            }
            (_, Some("" | "/history")) => {
                Err(ControlError::new(405, "method_not_allowed", format!("no method `{}`", short(request.method))))
            }
            _ => Ok(ControlResponse::not_found()),
        }
    }
}

/// Returns the command of a request. Pages of other sites can send some content types without
/// consent, but not JSON.
fn command(request: ControlRequest<'_>) -> Result<Command, ControlError> {
    let media_type = request.content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let error = ControlError::new(415, "unsupported_media_type", "the body of a command is JSON");
        return Err(error.hint("send the header `Content-Type: application/json`"));
    }
    if request.body.len() > ControlRequest::MAX_BODY {
        return Err(ControlError::new(413, "too_large", "the command is too large"));
    }
    Command::parse(request.body)
}

/// Reads `service`, `server`, `before` and `limit`.
fn history_filter(query: &str) -> Result<HistoryFilter, ControlError> {
    /// The default and the largest number of entries.
    const LIMITS: (usize, usize) = (100, 2000);
    let mut filter = HistoryFilter { limit: Some(LIMITS.0), ..HistoryFilter::default() };
    let invalid = |name: &str| ControlError::invalid(format!("invalid parameter `{}`", short(name)));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value).ok_or_else(|| invalid(name))?;
        match name {
            "service" => filter.service = Some(value),
            "server" => filter.server = Some(value),
            "before" => filter.before = Some(value.parse().map_err(|_| invalid(name))?),
            "limit" => filter.limit = Some(value.parse::<usize>().map_err(|_| invalid(name))?.min(LIMITS.1)),
            _ => return Err(invalid(name).hint("expected one of service, server, before, limit")),
        }
    }
    Ok(filter)
}

fn short(text: &str) -> String {
    text.chars().take(50).collect()
}

fn line(body: Object) -> String {
    body.finish() + "\n"
}
