//! Requests to a running balancer: to its control API, and to its status endpoint.

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Method, Request};
use serde_json::Value;
use tunnel_balancer_core::{ServerUrl, domain_to_ascii};
use tunnel_balancer_native::ApiResponse;
use tunnel_balancer_state::control::{CONTROL_PATH, Command};

use crate::send::{secret_value, send_blocking, warn_if_insecure};
use crate::token::{self, STATUS_TOKEN, TOKEN};

/// One of the APIs.
#[derive(Debug)]
pub(crate) struct Kind {
    name: &'static str,
    path: &'static str,
    /// The variables with the token. The first one that is set is used.
    variables: &'static [&'static str],
    /// When the balancer has the API.
    condition: &'static str,
}

/// The control API.
pub(crate) const CONTROL: Kind = Kind {
    name: "control API",
    path: CONTROL_PATH,
    variables: &[TOKEN],
    condition: "the Worker has one if its secret BALANCER_CONTROL_TOKEN is set",
};

/// The status endpoint.
pub(crate) const STATUS: Kind = Kind {
    name: "status endpoint",
    path: "/__balancer/status.json",
    variables: &[STATUS_TOKEN, TOKEN],
    condition: "set `status` in services.yaml, or name the admin listener of `tunnel-balancer serve`",
};

/// The path that responds while the process does. It needs no token.
pub(crate) const HEALTHZ: Kind =
    Kind { name: "health endpoint", path: "/__balancer/healthz", variables: &[], condition: STATUS.condition };

/// The URL of an API.
#[derive(Clone, Debug)]
pub(crate) struct Target(ServerUrl);

impl Target {
    pub(crate) const DEFAULT: &'static str = "http://127.0.0.1:8081";

    /// Reads a URL. Without a path, it gets that of the API.
    ///
    /// # Errors
    /// If it is invalid.
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let url = ServerUrl::parse_with(text, &domain_to_ascii).map_err(|error| error.to_string())?;
        if url.base_path().is_empty() {
            return Self::parse(&url.target(kind.path), kind);
        }
        Ok(Self(url))
    }
}

/// An API, with the token.
pub(crate) struct Api {
    kind: &'static Kind,
    target: Target,
    authorization: Option<HeaderValue>,
}

impl Api {
    /// The time for a response.
    const TIMEOUT: Duration = Duration::from_secs(15);

    /// Reads the token.
    ///
    /// # Errors
    /// If the file cannot be read, or the token is invalid.
    pub(crate) fn new(kind: &'static Kind, target: Target, token_file: Option<&Path>) -> Result<Self, String> {
        let token = token::read(token_file, kind.variables)?;
        let authorization = token.map(|token| secret_value(&format!("Bearer {token}"))).transpose()?;
        if authorization.is_some() {
            warn_if_insecure(&target.0.to_string());
        }
        Ok(Self { kind, target, authorization })
    }

    /// Reads a part of the API.
    ///
    /// # Errors
    /// Why there is no result, for the terminal.
    pub(crate) fn get(&self, path: &str, parameters: &[(&str, Option<&String>)]) -> Result<Value, String> {
        let present = parameters.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        let query: Vec<String> = present.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.call(Method::GET, &format!("{}{path}{mark}{}", self.target.0, query.join("&")), Vec::new())
    }

    /// Sends a command.
    ///
    /// # Errors
    /// Why it was not carried out, for the terminal.
    pub(crate) fn post(&self, command: &Command) -> Result<Value, String> {
        let body = serde_json::to_vec(command).map_err(|error| format!("error: {error}"))?;
        self.call(Method::POST, &self.target.0.to_string(), body)
    }

    /// Sends a request whose response has only a status.
    ///
    /// # Errors
    /// Why there is no response, or its status, for the terminal.
    pub(crate) fn check(&self) -> Result<(), String> {
        let response = self.send(Method::GET, &self.target.0.to_string(), Vec::new())?;
        let (url, status) = (&self.target.0, response.status.as_u16());
        if response.status.is_success() { Ok(()) } else { Err(format!("error: {url} responds with status {status}")) }
    }

    fn call(&self, method: Method, url: &str, body: Vec<u8>) -> Result<Value, String> {
        self.result(&self.send(method, url, body)?)
    }

    fn send(&self, method: Method, url: &str, body: Vec<u8>) -> Result<ApiResponse, String> {
        let request = Request::builder().method(method).uri(url).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/json");
        let mut request = request.body(body).map_err(|error| format!("error: {error}"))?;
        request.headers_mut().extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        send_blocking(request, Self::TIMEOUT).map_err(|error| self.unreachable(&error))
    }

    fn result(&self, response: &ApiResponse) -> Result<Value, String> {
        let body: Option<Value> = serde_json::from_slice(&response.body).ok().filter(Value::is_object);
        match body {
            Some(body) if response.status.is_success() => Ok(body),
            Some(body) if body.get("message").is_some_and(Value::is_string) && body["request_id"].is_null() => {
                Err(self.refused(&body))
            }
            _ => Err(self.no_api(response)),
        }
    }

    fn refused(&self, body: &Value) -> String {
        let message = body["message"].as_str().unwrap_or_default();
        let variables = self.kind.variables.join(" or ");
        let hint = match body["error"].as_str() {
            Some("unauthorized") if self.authorization.is_none() => {
                Some(format!("set {variables}, or use --token-file FILE"))
            }
            Some("not_found") if self.authorization.is_none() => {
                Some(format!("set {TOKEN}, here and with `npx wrangler secret put {TOKEN}`, or name another URL"))
            }
            Some("not_found") => Some(format!("the Worker needs the secret {TOKEN}, of at least 16 bytes")),
            Some("unauthorized") => Some(format!("the token is the value of {variables} of the balancer")),
            _ => body["hint"].as_str().map(str::to_owned),
        };
        let hint = hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("error: {message}{hint}")
    }

    fn no_api(&self, response: &ApiResponse) -> String {
        let (url, status) = (&self.target.0, response.status.as_u16());
        let location = response.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let host = location.and_then(|location| location.parse::<http::Uri>().ok()?.host().map(str::to_owned));
        match host {
            Some(host) => format!(
                "error: {url} redirects to {host} (status {status})\n  hint: if Cloudflare Access protects the host, \
                 let {} bypass it",
                self.kind.path
            ),
            None => format!("error: no {} at {url} (status {status})\n  hint: {}", self.kind.name, self.kind.condition),
        }
    }

    fn unreachable(&self, error: &str) -> String {
        format!(
            "error: cannot reach {}: {error}\n  hint: start `tunnel-balancer serve` with `--admin 127.0.0.1:8081`, or \
             give the URL of another balancer",
            self.target.0
        )
    }
}

/// Encodes everything but letters, digits and some signs that have no meaning in a query.
fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_api_is_added() {
        let table = [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081/__balancer/control"),
            ("chat.example.com", "https://chat.example.com/__balancer/control"),
            ("https://chat.example.com/", "https://chat.example.com/__balancer/control"),
            ("https://example.com/x/control/", "https://example.com/x/control"),
        ];
        for (text, expected) in table {
            assert_eq!(Target::parse(text, &CONTROL).unwrap().0.to_string(), expected);
        }
        let error = Target::parse("https://user:secret@chat.example.com", &CONTROL).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert!(Target::parse("ftp://x", &CONTROL).is_err());
    }

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(percent_encoded("example.com/a b&ü"), "example.com/a%20b%26%C3%BC");
    }
}
