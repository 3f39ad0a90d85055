//! The Worker as the place where health is shared.

use std::{fmt, io};

use http::uri::PathAndQuery;
use http::{HeaderName, Method, StatusCode, Uri};
use serde_json::Value;
use tunnel_balancer_core::Clock as _;
use tunnel_balancer_state::{MAX_PUSH_BYTES, PUSH_PATH, Push, SIGNATURE_HEADER, SharedState, sign};

use super::client::{Client, Failure};
use tunnel_balancer_tokio::TokioClock;

/// A Worker, or its Durable Object, with which a process shares health, and the secret of both.
#[derive(Clone)]
pub struct PushTarget {
    url: Uri,
    key: String,
}

impl PushTarget {
    /// The environment variable with the secret.
    pub const KEY_VARIABLE: &str = "BALANCER_MONITOR_KEY";

    /// The shortest secret, in bytes.
    pub const MIN_KEY: usize = 16;

    /// Creates a target. Each of the Worker's hosts is as good as the other.
    ///
    /// # Errors
    /// If the secret is too short.
    pub fn new(url: PushUrl, key: &str) -> Result<Self, String> {
        if key.len() < Self::MIN_KEY {
            let (name, min, found) = (Self::KEY_VARIABLE, Self::MIN_KEY, key.len());
            return Err(format!("the secret {name} is too short: expected at least {min} bytes, found {found}"));
        }
        Ok(Self { url: url.0, key: key.to_owned() })
    }

    /// Returns the URL for messages.
    pub(crate) fn name(&self) -> String {
        self.url.to_string()
    }
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The URL of a Worker that accepts messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushUrl(Uri);

impl std::str::FromStr for PushUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected the URL of the Worker, such as https://app.example.com".to_owned();
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let mut parts = uri.into_parts();
        let (scheme, authority) = (parts.scheme.as_ref(), parts.authority.as_ref());
        let (scheme, authority) = (scheme.ok_or_else(expected)?, authority.ok_or_else(expected)?);
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(expected());
        }
        match scheme.as_str() {
            "https" => {}
            "http" if is_loopback(authority.host()) => {}
            "http" => return Err("expected https://, because the response is not signed".to_owned()),
            _ => return Err(expected()),
        }
        let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        if path != "/" && path != PUSH_PATH {
            return Err(format!("expected no path, or {PUSH_PATH}, found {path}"));
        }
        parts.path_and_query = Some(PathAndQuery::from_static(PUSH_PATH));
        Uri::from_parts(parts).map(Self).map_err(|_| expected())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The connection to a Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    target: PushTarget,
    client: Client,
    /// The name of this process.
    pub(crate) sender: String,
}

impl Worker {
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(target: PushTarget, sender: String) -> io::Result<Self> {
        Ok(Self { target, client: Client::new()?, sender })
    }

    pub(crate) fn name(&self) -> String {
        self.target.name()
    }

    /// Sends facts. Returns those of the Worker.
    pub(crate) async fn exchange(&self, state: SharedState, clock: TokioClock) -> Result<SharedState, Failure> {
        // It consists of maps with strings as keys, which can be serialized.
        let body = serde_json::to_vec(&Push::new(self.sender.clone(), state)).unwrap_or_default();
        if body.len() > MAX_PUSH_BYTES {
            let detail = format!("the message is larger than {MAX_PUSH_BYTES} bytes");
            return Err(Failure::Rejected { detail, retry_after: None, is_temporary: false });
        }
        let sent_at = u64::try_from(clock.unix_time().as_millis()).unwrap_or_default();
        let signature = sign(self.target.key.as_bytes(), sent_at, &body);
        let secret = (HeaderName::from_static(SIGNATURE_HEADER), signature.as_str());
        let content = ("application/json", body);
        let received = self.client.send(Method::POST, &self.target.url, secret, content, MAX_PUSH_BYTES).await?;
        if received.status == StatusCode::OK {
            return serde_json::from_slice(&received.body)
                .map_err(|_| received.rejection(Some(NOT_ACCEPTED.to_owned())));
        }
        let is_known = received.status != StatusCode::NOT_FOUND;
        Err(received.rejection(if is_known { message(&received.body) } else { Some(NOT_ACCEPTED.to_owned()) }))
    }
}

/// Returns the cause in the body of an error: a line of text, or a JSON object with a `message`.
fn message(body: &[u8]) -> Option<String> {
    if let Ok(error) = serde_json::from_slice::<Value>(body) {
        return Some(error.get("message")?.as_str()?.to_owned());
    }
    let text = str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.contains(['<', '\n'])).then(|| text.to_owned())
}

const NOT_ACCEPTED: &str = "the Worker accepts no messages: set `health_sharing` and its secret BALANCER_MONITOR_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_worker_and_are_encrypted() {
        let table = [
            ("https://app.example.com", Ok("https://app.example.com/__balancer/push")),
            ("https://app.example.com/", Ok("https://app.example.com/__balancer/push")),
            ("https://app.example.com:8443/__balancer/push", Ok("https://app.example.com:8443/__balancer/push")),
            ("http://127.0.0.1:8787", Ok("http://127.0.0.1:8787/__balancer/push")),
            ("http://[::1]:8787", Ok("http://[::1]:8787/__balancer/push")),
            ("http://localhost", Ok("http://localhost/__balancer/push")),
            ("http://app.example.com", Err("expected https://")),
            ("https://app.example.com/api", Err("expected no path")),
            ("https://app.example.com/__balancer/push?a", Err("expected no path")),
            ("https://user:password@app.example.com", Err("expected the URL")),
            ("app.example.com", Err("expected the URL")),
            ("ftp://app.example.com", Err("expected the URL")),
            ("https://", Err("expected the URL")),
            ("", Err("expected the URL")),
        ];
        for (text, expected) in table {
            match (text.parse::<PushUrl>(), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.0.to_string(), expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{text}: {error}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }

    #[test]
    fn the_cause_of_an_error_is_text_or_json() {
        let table = [
            ("the message was received before", Some("the message was received before")),
            (r#"{ "error": "invalid", "message": "the signature is invalid" }"#, Some("the signature is invalid")),
            ("<html>an error</html>", None),
            ("one line\nanother", None),
            ("", None),
            ("{}", None),
        ];
        for (body, expected) in table {
            assert_eq!(message(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn the_secret_is_long_and_not_printed() {
        let url: PushUrl = "https://app.example.com".parse().unwrap();
        let error = PushTarget::new(url.clone(), "fifteen bytes !").unwrap_err();
        assert!(error.ends_with("expected at least 16 bytes, found 15"), "{error}");
        let target = PushTarget::new(url, "0123456789abcdef").unwrap();
        assert!(!format!("{target:?}").contains("0123"));
    }
}
