//! Requests and responses of the endpoint as values.

use tunnel_balancer_state::control::ControlResponse;

/// A request to the endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as the client sent it.
    pub path: &'a str,
    /// The part of the URL after `?`, or an empty string.
    pub query: &'a str,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// The header `Accept`.
    pub accept: Option<&'a str>,
}

/// A response of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// The status.
    pub status: u16,
    /// The headers: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body. Empty for a HEAD request.
    pub body: String,
}

impl StatusResponse {
    /// Creates a response that browsers neither store nor embed.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![
            ("content-type", content_type.to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("x-frame-options", "DENY".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        Self { status, headers, body: body.into() }
    }

    /// Creates a response in plain text.
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{body}\n"))
    }

    /// Creates a response in JSON.
    pub(crate) fn json(body: String) -> Self {
        Self::new(200, "application/json", body + "\n")
    }

    /// Returns the response of a process that does not take traffic.
    pub fn unavailable() -> Self {
        Self::text(503, "this process takes no traffic now")
    }

    /// Returns a redirect to a path.
    pub fn redirect(path: &str) -> Self {
        Self::text(302, "moved").with_header("location", path)
    }

    /// Returns the response for a path that the endpoint does not have.
    pub fn not_found() -> Self {
        Self::text(404, "no such path")
    }

    /// Adds a header, or replaces its value.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the response to a HEAD request.
    #[must_use]
    pub(crate) fn without_body(self) -> Self {
        Self { body: String::new(), ..self }
    }
}

impl From<ControlResponse> for StatusResponse {
    fn from(from: ControlResponse) -> Self {
        let empty = Self::new(from.status, "application/json", "");
        let headers = from.headers();
        let response = headers.into_iter().fold(empty, |response, (name, value)| response.with_header(name, value));
        Self { body: from.body, ..response }
    }
}
