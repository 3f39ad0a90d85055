//! A request as a client sends it: URL, method and headers on the command line.

use std::time::Duration;

use clap::Args;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use tunnel_balancer_native::ApiResponse;
use url::{Position, Url};

use crate::output;
use crate::send::{secret_value, send_blocking};

/// The method and the headers of a request.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientRequest {
    /// Method of the request.
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
    pub(crate) method: Method,

    /// Header of the request. Repeatable.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl ClientRequest {
    /// The time for a response: longer than a balancer takes by default.
    const TIMEOUT: Duration = Duration::from_secs(130);

    /// Returns the headers.
    pub(crate) fn fields(&self) -> HeaderMap {
        self.headers.iter().cloned().collect()
    }

    /// Sends the request to a URL, with one more header, whose value is a secret.
    ///
    /// # Errors
    /// Why there is no response, for the terminal.
    pub(crate) fn send(&self, url: &str, name: &'static str, secret: &str) -> Result<ApiResponse, String> {
        let request = Request::builder().method(self.method.clone()).uri(url).header(name, secret_value(secret)?);
        let mut request = request.body(Vec::new()).map_err(|error| format!("error: {error}"))?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        send_blocking(request, Self::TIMEOUT).map_err(|error| format!("error: no response of {url}: {error}"))
    }

    /// Returns the host that the request names: that of a header, or of the URL.
    pub(crate) fn host(&self, url: &str) -> String {
        let given = self.headers.iter().find(|(name, _)| *name == HOST).and_then(|(_, value)| value.to_str().ok());
        let authority = given.map(str::to_owned).or_else(|| {
            let url = Url::parse(url).ok()?;
            Some(url[Position::BeforeHost..Position::AfterPort].to_owned())
        });
        authority.unwrap_or_default().to_ascii_lowercase()
    }
}

/// A request to a service by its public hostname.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRequest {
    pub(crate) url: String,
    /// The `Host`, if it is not that of the URL.
    pub(crate) host: Option<HeaderValue>,
}

/// Returns a request for a path within that of a service. `label` is the first label of a host that
/// matches a wildcard. The request goes to the balancer at `to`, if it is set.
///
/// # Errors
/// If the service or the path is invalid, for the terminal.
pub(crate) fn service_request(
    service: &str,
    label: &str,
    path: &str,
    to: Option<&str>,
) -> Result<ServiceRequest, String> {
    let (host, base) = service.split_at(service.find('/').unwrap_or(service.len()));
    let host = match host.strip_prefix('*') {
        Some("") => format!("{label}.invalid"),
        Some(parent) => format!("{label}{parent}"),
        None => host.to_owned(),
    };
    let path = format!("{}{path}", base.trim_end_matches('/'));
    let Some(to) = to else {
        return Ok(ServiceRequest { url: parse_url(&format!("https://{host}{path}"))?, host: None });
    };
    let host = HeaderValue::try_from(host).map_err(|_| format!("error: invalid host of the service {service}"))?;
    Ok(ServiceRequest { url: parse_url(&format!("{}{path}", to.trim_end_matches('/')))?, host: Some(host) })
}

/// Returns a URL as browsers send it: the host in ASCII, the path without `..`, no fragment.
///
/// # Errors
/// Why it is invalid, for the terminal.
pub(crate) fn parse_url(text: &str) -> Result<String, String> {
    let absolute = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url =
        Url::parse(&absolute).map_err(|error| format!("error: invalid URL `{}`: {error}", output::escaped(text)))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!("error: unsupported scheme `{}`\n  hint: use `https` or `http`", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("error: user name in the URL\n  hint: use `--header 'Authorization: ...'`".to_owned());
    }
    Ok(url[..Position::AfterQuery].to_owned())
}

fn method(text: &str) -> Result<Method, String> {
    let method: Method = text.parse().map_err(|_| format!("invalid method {text:?}"))?;
    let capitals = text.to_ascii_uppercase();
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::POST, Method::PATCH];
    if capitals != text && known.iter().any(|known| known.as_str() == capitals) {
        return Err(format!("methods are case-sensitive: write {capitals}"));
    }
    Ok(method)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected a header, such as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("invalid header name `{name}`"))?;
    Ok((name, value.trim().parse().map_err(|_| format!("invalid header value {value:?}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_that_of_a_header_or_of_the_url() {
        let request = |lines: &[(&'static str, &str)]| ClientRequest {
            method: Method::GET,
            headers: lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
        };
        assert_eq!(request(&[]).host("https://Chat.example.com/x?y"), "chat.example.com");
        assert_eq!(request(&[]).host("http://127.0.0.1:8080/"), "127.0.0.1:8080");
        assert_eq!(request(&[("host", "chat.test")]).host("http://127.0.0.1:8080/"), "chat.test");
    }
}
