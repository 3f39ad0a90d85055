//! How servers are probed, and how the response to a probe is evaluated.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};

use super::{Server, ServerHeader};
use crate::classify::{Delivery, Failure, Outcome};

/// How a service's servers are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What a probe does. Default: it sends a request.
    pub kind: ProbeKind,
    /// The method of the request. Default: `GET`.
    pub method: Method,
    /// Path and query of the request, below the server's base path. Default `/`.
    pub path: String,
    /// The `Host` of the request. Default: that of other requests to the server.
    pub host: Option<String>,
    /// Headers of the request. They replace those of the server with the same name. Default: none.
    pub headers: Vec<ServerHeader>,
    /// The port that is probed. Default: that of the server's URL.
    pub port: Option<u16>,
    /// The time from the end of a probe to the next one while the server is healthy, +-20 %.
    /// Default 30 s.
    pub interval: Duration,
    /// The same while it is unhealthy, or its last results differ. Default 10 s.
    pub unhealthy_interval: Duration,
    /// The timeout of a probe, from its start to the part of the response that is evaluated.
    /// Default 5 s.
    pub timeout: Duration,
    /// Passing results in a row that make an unhealthy server healthy. Default 2.
    pub rise: u32,
    /// Failing results in a row that make a healthy server unhealthy. Default 2.
    pub fall: u32,
    /// The statuses that pass. Default 200-399.
    pub expect_status: StatusRanges,
    /// A header of a passing response, and a string that its value contains. Default none.
    pub expect_header: Option<(String, String)>,
    /// A string in the first [`BODY_LIMIT`](Self::BODY_LIMIT) bytes of a passing response's body.
    /// Default none.
    ///
    /// It detects servers that respond without their application: some connectors send an empty 200
    /// then.
    pub expect_body: Option<String>,
}

/// What a probe does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeKind {
    /// It sends an HTTP request and evaluates the response.
    #[default]
    Http,
    /// It opens a TCP connection, which is enough to pass.
    Tcp,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: ProbeKind::Http,
            method: Method::GET,
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            port: None,
            interval: Duration::from_secs(30),
            unhealthy_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 2,
            expect_status: StatusRanges(vec![(200, 399)]),
            expect_header: None,
            expect_body: None,
        }
    }
}

impl HealthCheck {
    /// The part of a body that is evaluated, in bytes. The rest is canceled.
    pub const BODY_LIMIT: usize = 1024;

    /// The largest number of bytes of a string that a response must contain. A longer one is
    /// unlikely to be in the part of the body that is read.
    pub const MAX_EXPECTED: usize = Self::BODY_LIMIT / 4;

    /// Returns whether a string is the path of a request: visible ASCII characters from `/` on,
    /// without a fragment.
    pub fn is_path(text: &str) -> bool {
        text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    }

    /// Returns host and port that are probed.
    pub fn address(&self, server: &Server) -> String {
        self.port.map_or_else(|| server.url.clone(), |port| server.url.with_port(port)).socket_address()
    }

    /// Evaluates the result of a probe.
    ///
    /// # Errors
    /// If the probe failed, with the reason.
    pub fn evaluate(&self, result: &ProbeResult) -> Result<(), ProbeError> {
        let response = result.as_ref().map_err(|failure| ProbeError::Failure(*failure))?;
        if self.kind == ProbeKind::Tcp {
            return Ok(());
        }
        if response.status.is_redirection() && response.location.as_deref().is_some_and(is_access_login) {
            return Err(ProbeError::BlockedByAccess);
        }
        if !self.expect_status.contains(response.status) {
            return Err(ProbeError::Status(response.status));
        }
        let contains = |part: &Option<String>, text: &str| part.as_deref().is_some_and(|part| part.contains(text));
        if self.expect_header.as_ref().is_some_and(|(_, text)| !contains(&response.header, text)) {
            return Err(ProbeError::Header);
        }
        if self.expect_body.as_ref().is_some_and(|text| !contains(&response.body, text)) {
            return Err(ProbeError::Body);
        }
        Ok(())
    }
}

/// The result of a probe: the response, or why there was none.
pub type ProbeResult = Result<ProbeResponse, Failure>;

/// The part of a probe's response that a health check evaluates. Construct one with
/// `ProbeResponse { location, ..ProbeResponse::new(status) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResponse {
    /// The status of the first response; redirects are not followed.
    pub status: StatusCode,
    /// The `Location` header, if there is one.
    pub location: Option<String>,
    /// The value of the header that [`HealthCheck::expect_header`] names, if it is set and the
    /// response has it.
    pub header: Option<String>,
    /// The beginning of the body, if [`HealthCheck::expect_body`] is set.
    pub body: Option<String>,
}

impl ProbeResponse {
    /// Reads of a response's status and header what `check` evaluates. `header` returns a header
    /// field by its name in lower case. A body prefix is also needed if
    /// [`HealthCheck::expect_body`] is set.
    pub fn read(check: &HealthCheck, status: StatusCode, header: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            location: header("location"),
            header: check.expect_header.as_ref().and_then(|(name, _)| header(name)),
            ..Self::new(status)
        }
    }

    /// Adds the beginning of the body, of which [`HealthCheck::BODY_LIMIT`] bytes are evaluated.
    #[must_use]
    pub fn with_body(self, prefix: &[u8]) -> Self {
        let prefix = prefix.get(..HealthCheck::BODY_LIMIT).unwrap_or(prefix);
        Self { body: Some(String::from_utf8_lossy(prefix).into_owned()), ..self }
    }

    /// Creates a response with a status only.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, location: None, header: None, body: None }
    }
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeError {
    /// No response.
    Failure(Failure),
    /// A status outside [`HealthCheck::expect_status`].
    Status(StatusCode),
    /// A redirect to the login page of Cloudflare Access: the probe has no valid service token.
    BlockedByAccess,
    /// The expected header is missing or has another value.
    Header,
    /// The expected string is not in the body.
    Body,
}

impl ProbeError {
    /// Returns whether the application did not respond: there was no response, or one of a gateway.
    pub(crate) fn is_no_response(self) -> bool {
        match self {
            Self::Failure(_) => true,
            Self::Status(status) => Outcome::Status(status).classify().delivery != Delivery::Answered,
            Self::BlockedByAccess | Self::Header | Self::Body => false,
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::BlockedByAccess => f.write_str("blocked by Access (redirect to its login page)"),
            Self::Header => f.write_str("unexpected header"),
            Self::Body => f.write_str("unexpected body"),
        }
    }
}

/// A list of inclusive ranges of status codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    /// Returns whether one of the ranges contains `status`.
    pub fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status.as_u16()))
    }

    /// Returns the first range of statuses that both lists contain.
    pub fn overlap(&self, other: &Self) -> Option<(u16, u16)> {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
        pairs.filter(|(first, last)| first <= last).min()
    }
}

/// Returns whether a redirect leads to `https://TEAM.cloudflareaccess.com/...`.
fn is_access_login(location: &str) -> bool {
    let after_scheme = location.split_once("//").map_or("", |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase().ends_with(".cloudflareaccess.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, location: Option<&str>) -> ProbeResult {
        let response = ProbeResponse::new(StatusCode::from_u16(status).unwrap());
        Ok(ProbeResponse { location: location.map(str::to_owned), ..response })
    }

    #[test]
    fn hc_12_the_expected_status_with_unexpected_content_fails() {
        let check = HealthCheck {
            expect_header: Some(("x-app".to_owned(), "wiki".to_owned())),
            expect_body: Some("ok".to_owned()),
            ..HealthCheck::default()
        };
        let evaluate = |header: Option<&str>, body: Option<&str>| {
            let (header, body) = (header.map(str::to_owned), body.map(str::to_owned));
            check.evaluate(&Ok(ProbeResponse { header, body, ..ProbeResponse::new(StatusCode::OK) }))
        };
        assert_eq!(evaluate(Some("the wiki"), Some("all ok")), Ok(()));
        assert_eq!(evaluate(Some("mail"), Some("all ok")), Err(ProbeError::Header));
        assert_eq!(evaluate(None, Some("all ok")), Err(ProbeError::Header));
        assert_eq!(evaluate(Some("wiki"), Some("")), Err(ProbeError::Body));
        assert_eq!(evaluate(Some("wiki"), None), Err(ProbeError::Body));
    }

    #[test]
    fn a_connection_is_enough_for_a_tcp_check() {
        let only_301 = StatusRanges(vec![(301, 301)]);
        let check = HealthCheck { kind: ProbeKind::Tcp, expect_status: only_301, ..HealthCheck::default() };
        assert_eq!(check.evaluate(&response(200, None)), Ok(()));
        assert_eq!(check.evaluate(&Err(Failure::Connect)), Err(ProbeError::Failure(Failure::Connect)));
    }

    #[test]
    fn probes_are_evaluated_by_status_and_redirect_target() {
        let check = HealthCheck::default();
        let only_301 = HealthCheck { expect_status: StatusRanges(vec![(301, 301)]), ..HealthCheck::default() };
        let login = "https://team.cloudflareaccess.com/cdn-cgi/access/login/x";
        let table = [
            ("HC-10", &check, response(202, None), Ok(())),
            ("HC-10", &check, response(400, None), Err("status 400")),
            ("HC-10", &only_301, response(301, None), Ok(())),
            ("HC-10", &only_301, response(200, None), Err("status 200")),
            ("an ordinary redirect passes", &check, response(302, Some("/login")), Ok(())),
            ("HC-19", &check, response(302, Some(login)), Err("blocked by Access (redirect to its login page)")),
            (
                "HC-19 any case",
                &check,
                response(302, Some("HTTPS://T.CloudflareAccess.COM")),
                Err("blocked by Access (redirect to its login page)"),
            ),
            ("a similar host", &check, response(302, Some("https://cloudflareaccess.com.example/")), Ok(())),
            ("Access in the path", &check, response(302, Some("https://a.example/x.cloudflareaccess.com")), Ok(())),
            ("HC-03", &check, Err(Failure::Timeout), Err("response timeout")),
        ];
        for (case, check, result, expected) in table {
            let evaluated = check.evaluate(&result).map_err(|error| error.to_string());
            assert_eq!(evaluated, expected.map_err(str::to_owned), "{case}: {result:?}");
        }
    }
}
