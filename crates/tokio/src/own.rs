//! Requests of this program, as opposed to those of the clients of a proxy.

use std::io;

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use tunnel_balancer_core::headers::HeaderFields;
use tunnel_balancer_core::{Body, Failure, HostHeader, Policy, RequestMeta, Server, Service};

/// Returns an error for settings that are invalid.
pub(crate) fn check_settings(service: &Service) -> io::Result<()> {
    service.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Returns an error for settings that are invalid, and for a server with an address of another
/// protocol than HTTP.
pub(crate) fn check_http(service: &Service) -> io::Result<()> {
    check_settings(service)?;
    let other = service.servers().iter().find(|server| !server.url.is_http());
    other.map_or(Ok(()), |server| {
        let scheme = server.url.scheme();
        let hint = "use a `Dispatcher` for other protocols";
        Err(invalid_server(server, &format!("expected an `http` or `https` address, found `{scheme}`: {hint}")))
    })
}

/// Returns the error of a server that a client cannot use.
pub(crate) fn invalid_server(server: &Server, message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("server `{}`: {message}", server.name))
}

/// Returns what decides about retries, and about the selection by hash.
pub(crate) fn meta(service: &Service, method: &Method, uri: &Uri, headers: &HeaderMap, body: Body) -> RequestMeta {
    let hash_key = match &service.policy {
        Policy::Hash(on) => {
            let header = |name: &str| HeaderFields::get(headers, name).ok().flatten().map(Into::into);
            on.key(header, path_and_query(uri), None)
        }
        _ => 0,
    };
    let idempotency_key = headers.contains_key("idempotency-key");
    RequestMeta { idempotency_key, body, hash_key, ..RequestMeta::new(method.clone()) }
}

/// Adds the headers of a server, and returns the URL of a request to it.
pub(crate) fn prepare(service: &Service, server: &Server, uri: &Uri, headers: &mut HeaderMap) -> Result<Uri, Failure> {
    let target = server.url.target(service.server_path(path_and_query(uri)));
    let uri = Some(target).filter(|target| server.url.matches(target)).and_then(self::uri);
    let uri = uri.ok_or(Failure::InvalidRequest)?;
    // The host of the URL is used instead.
    headers.remove(HOST);
    let host = match &server.host_header {
        HostHeader::Name(name) => Some(("host", name)),
        HostHeader::Server | HostHeader::Public => None,
    };
    let own = server.headers.iter().map(|header| (header.name.as_str(), &header.value));
    for (name, value) in own.chain(host) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Failure::InvalidRequest)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| Failure::InvalidRequest)?);
    }
    Ok(uri)
}

/// Returns the URI of a request to a server. One without a path is that of `OPTIONS *`.
pub(crate) fn uri(target: String) -> Option<Uri> {
    let (_, rest) = target.split_once("://")?;
    let has_path = rest.contains('/');
    let uri = Uri::try_from(target).ok()?;
    if has_path {
        return Some(uri);
    }
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("*"));
    Uri::from_parts(parts).ok()
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}
