//! How servers are probed, and how an answer to a probe is read.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::classify::{Delivery, Failure, Outcome};

/// How a service's servers are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Path and query of the `GET`, below the server's base path. Default `/`.
    pub path: String,
    /// From one probe's end to the next while the server is well, +-20 %. Default 30 s.
    pub interval: Duration,
    /// The same while it is not, or might not be. Default 10 s.
    pub unhealthy_interval: Duration,
    /// How long to wait for response headers. Default 5 s.
    pub timeout: Duration,
    /// Passing results in a row that make an unhealthy server healthy. Default 2.
    pub rise: u32,
    /// Failing results in a row that make a healthy server unhealthy. Default 2.
    pub fall: u32,
    /// The statuses that pass. Default 200-399.
    pub expect_status: StatusRanges,
    /// A header that a passing answer has, and a text its value contains. Default none.
    pub expect_header: Option<(String, String)>,
    /// A text in the first [`BODY_LIMIT`](Self::BODY_LIMIT) bytes of a passing answer's body. Default none.
    ///
    /// For servers that stay up and answer nonsense: a connector that has lost its application may give an empty 200.
    pub expect_body: Option<String>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
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
    /// How much of a body is looked at, in bytes. The rest is cancelled.
    pub const BODY_LIMIT: usize = 1024;

    /// Reads what a probe brought back.
    ///
    /// # Errors
    /// With the reason, when the server is not fit to serve.
    pub fn evaluate(&self, result: &ProbeResult) -> Result<(), ProbeError> {
        let answer = result.as_ref().map_err(|failure| ProbeError::Failure(*failure))?;
        if answer.status.is_redirection() && answer.location.as_deref().is_some_and(leads_to_access) {
            return Err(ProbeError::BlockedByAccess);
        }
        if !self.expect_status.contains(answer.status) {
            return Err(ProbeError::Status(answer.status));
        }
        let found = |part: &Option<String>, text: &str| part.as_deref().is_some_and(|whole| whole.contains(text));
        if self.expect_header.as_ref().is_some_and(|(_, text)| !found(&answer.header, text)) {
            return Err(ProbeError::Header);
        }
        if self.expect_body.as_ref().is_some_and(|text| !found(&answer.body, text)) {
            return Err(ProbeError::Body);
        }
        Ok(())
    }
}

/// What a probe brought back: the answer, or why there was none.
pub type ProbeResult = Result<ProbeResponse, Failure>;

/// The part of a probe's answer that health is read from. Make one by `ProbeResponse { location, ..ProbeResponse::new(status) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResponse {
    /// The status of the first response; redirects are not followed.
    pub status: StatusCode,
    /// The `Location` header, where there is one.
    pub location: Option<String>,
    /// The value of the header that [`HealthCheck::expect_header`] names, where it is set and there is one.
    pub header: Option<String>,
    /// The beginning of the body, where [`HealthCheck::expect_body`] is set.
    pub body: Option<String>,
}

impl ProbeResponse {
    /// Reads of a response's status and header what `check` evaluates. `header` returns a header field by its name in lower
    /// case. A body prefix is wanted as well if [`HealthCheck::expect_body`] is set.
    pub fn read(check: &HealthCheck, status: StatusCode, header: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            location: header("location"),
            header: check.expect_header.as_ref().and_then(|(name, _)| header(name)),
            ..Self::new(status)
        }
    }

    /// Adds the beginning of the body, of which [`HealthCheck::BODY_LIMIT`] bytes are looked at.
    #[must_use]
    pub fn with_body(self, prefix: &[u8]) -> Self {
        let prefix = prefix.get(..HealthCheck::BODY_LIMIT).unwrap_or(prefix);
        Self { body: Some(String::from_utf8_lossy(prefix).into_owned()), ..self }
    }

    /// An answer with nothing but a status.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, location: None, header: None, body: None }
    }
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeError {
    /// No answer.
    Failure(Failure),
    /// A status outside `expect`.
    Status(StatusCode),
    /// A redirect to Cloudflare Access' login page: the server is behind it and the probe has no valid service token.
    BlockedByAccess,
    /// The header that was expected is missing or says something else.
    Header,
    /// The text that was expected is not in the body.
    Body,
}

impl ProbeError {
    /// Whether the server gave no answer of its own: none at all, or one of a gateway.
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
            Self::Header => f.write_str("not the header that was expected"),
            Self::Body => f.write_str("not the body that was expected"),
        }
    }
}

/// A list of inclusive ranges of status codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    /// Whether one of the ranges covers `status`.
    pub fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status.as_u16()))
    }
}

/// Whether a redirect goes to `https://TEAM.cloudflareaccess.com/...`.
fn leads_to_access(location: &str) -> bool {
    let after_scheme = location.split_once("//").map_or("", |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase().ends_with(".cloudflareaccess.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, location: Option<&str>) -> ProbeResult {
        let answer = ProbeResponse::new(StatusCode::from_u16(status).unwrap());
        Ok(ProbeResponse { location: location.map(str::to_owned), ..answer })
    }

    #[test]
    fn hc_12_the_right_status_with_the_wrong_content_fails() {
        let check = HealthCheck {
            expect_header: Some(("x-app".to_owned(), "wiki".to_owned())),
            expect_body: Some("ok".to_owned()),
            ..HealthCheck::default()
        };
        let judge = |header: Option<&str>, body: Option<&str>| {
            let (header, body) = (header.map(str::to_owned), body.map(str::to_owned));
            check.evaluate(&Ok(ProbeResponse { header, body, ..ProbeResponse::new(StatusCode::OK) }))
        };
        assert_eq!(judge(Some("the wiki"), Some("all ok")), Ok(()));
        assert_eq!(judge(Some("mail"), Some("all ok")), Err(ProbeError::Header));
        assert_eq!(judge(None, Some("all ok")), Err(ProbeError::Header));
        assert_eq!(judge(Some("wiki"), Some("")), Err(ProbeError::Body));
        assert_eq!(judge(Some("wiki"), None), Err(ProbeError::Body));
    }

    #[test]
    fn answers_are_judged_by_status_and_redirect_target() {
        let check = HealthCheck::default();
        let only_301 = HealthCheck { expect_status: StatusRanges(vec![(301, 301)]), ..HealthCheck::default() };
        let login = "https://team.cloudflareaccess.com/cdn-cgi/access/login/x";
        let table = [
            ("HC-10", &check, answer(202, None), Ok(())),
            ("HC-10", &check, answer(400, None), Err("status 400")),
            ("HC-10", &only_301, answer(301, None), Ok(())),
            ("HC-10", &only_301, answer(200, None), Err("status 200")),
            ("an ordinary redirect passes", &check, answer(302, Some("/login")), Ok(())),
            ("HC-19", &check, answer(302, Some(login)), Err("blocked by Access (redirect to its login page)")),
            (
                "HC-19 any case",
                &check,
                answer(302, Some("HTTPS://T.CloudflareAccess.COM")),
                Err("blocked by Access (redirect to its login page)"),
            ),
            ("a look-alike", &check, answer(302, Some("https://cloudflareaccess.com.example/")), Ok(())),
            ("Access in the path", &check, answer(302, Some("https://a.example/x.cloudflareaccess.com")), Ok(())),
            ("HC-03", &check, Err(Failure::Timeout), Err("response timeout")),
        ];
        for (case, check, result, expected) in table {
            let judged = check.evaluate(&result).map_err(|fault| fault.to_string());
            assert_eq!(judged, expected.map_err(str::to_owned), "{case}: {result:?}");
        }
    }
}
