//! The listener that redirects HTTP to HTTPS.

use http::header::{HOST, LOCATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, StatusCode};

use crate::body::ProxyBody;

/// Redirects a request to the same host and path over HTTPS, on `port`. 400 without a valid host.
pub(crate) fn respond<B>(request: &Request<B>, port: u16) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::empty());
    match location(request, port) {
        Some(location) => {
            // It keeps the method, unlike 301.
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

fn location<B>(request: &Request<B>, port: u16) -> Option<HeaderValue> {
    let hosts = request.headers().get_all(HOST);
    let host = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => hosts.iter().next()?.to_str().ok()?.parse::<Authority>().ok()?,
    };
    if hosts.iter().count() > 1 || host.as_str().contains('@') || host.host().is_empty() {
        return None;
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let path = if path.starts_with('/') { path } else { "/" };
    HeaderValue::try_from(format!("https://{}{port}{path}", host.host())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(target: &str, hosts: &[&'static str], port: u16) -> Option<String> {
        let mut request = Request::get(target).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_static(host));
        }
        let response = respond(&request, port);
        let location = response.headers().get(LOCATION)?;
        assert_eq!(response.status(), 308);
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_host_and_the_path_are_kept() {
        let table = [
            ("/a//b?c=%2F", "app.test", 443, "https://app.test/a//b?c=%2F"),
            ("/", "app.test:80", 443, "https://app.test/"),
            ("/", "app.test:8080", 8443, "https://app.test:8443/"),
            ("/", "[::1]:8080", 443, "https://[::1]/"),
            ("*", "app.test", 443, "https://app.test/"),
        ];
        for (target, host, port, expected) in table {
            assert_eq!(redirect(target, &[host], port).as_deref(), Some(expected), "{target} of {host}");
        }
        assert_eq!(redirect("http://app.test/a", &["other.test"], 443), Some("https://app.test/a".to_owned()));
    }

    #[test]
    fn a_request_without_one_valid_host_is_not_redirected() {
        for hosts in [&[][..], &["a.test", "b.test"], &["user@a.test"], &[""], &["a.test/b"], &["a b"]] {
            assert_eq!(redirect("/", hosts, 443), None, "{hosts:?}");
        }
    }
}
