//! Requests that this program sends.

use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use tunnel_balancer_native::{ApiResponse, call_api};
use url::{Host, Url};

/// The `User-Agent` of requests without another one.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION")));

/// Sends a request and reads the response, within `limit`.
///
/// # Errors
/// Why there is no response.
pub(crate) async fn send(mut request: Request<Vec<u8>>, limit: Duration) -> Result<ApiResponse, String> {
    request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    call_api(request.map(Into::into), limit).await
}

/// Sends a request like [`send`], for commands that do nothing else meanwhile.
///
/// # Errors
/// Why there is no response.
pub(crate) fn send_blocking(request: Request<Vec<u8>>, limit: Duration) -> Result<ApiResponse, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(send(request, limit))
}

/// Returns the value of a header that is not logged.
///
/// # Errors
/// If a header cannot have it, for the terminal.
pub(crate) fn secret_value(secret: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(secret)
        .map_err(|_| "error: the token has characters that a header cannot have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Warns if a token that is sent to this URL crosses a network without encryption.
pub(crate) fn warn_if_insecure(url: &str) {
    if is_insecure(url) {
        eprintln!("warning: the token is sent without encryption: use https, or an SSH tunnel");
    }
}

fn is_insecure(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        url.scheme() == "http" && !is_local
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_are_insecure() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/", false),
            ("http://[::1]/", false),
            ("http://localhost/", false),
            ("https://chat.example.com/", false),
            ("http://10.0.0.1/", true),
            ("http://chat.example.com/", true),
        ] {
            assert_eq!(is_insecure(url), expected, "{url}");
        }
    }
}
