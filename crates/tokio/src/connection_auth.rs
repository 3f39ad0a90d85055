//! NTLM and Negotiate authenticate a connection instead of a request. A connection to a server that
//! took part in such an exchange serves one request and is then closed: the next request on it
//! could be another client's.

use std::future::poll_fn;
use std::pin::pin;

use http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};

use crate::request_body::RequestBody;
use crate::transport::Connections;

/// Sends a request. Its connection is not reused if the request or the response authenticates it.
/// `on_connected` is called when it has a connection, maybe repeatedly.
pub(crate) async fn send(
    connections: &Connections,
    mut request: Request<RequestBody>,
    mut on_connected: impl FnMut(),
) -> Result<Response<Incoming>, Error> {
    let has_credentials = names_connection_scheme(request.headers(), &AUTHORIZATION);
    let connection = capture_connection(&mut request);
    let mut sent = pin!(connections.request(request));
    let response = poll_fn(|context| {
        let response = sent.as_mut().poll(context);
        if connection.connection_metadata().is_some() {
            on_connected();
        }
        if has_credentials {
            // The connection is known before the response arrives, which would return it to the
            // pool.
            close_after_use(&connection);
        }
        response
    })
    .await?;
    if names_connection_scheme(response.headers(), &WWW_AUTHENTICATE) {
        close_after_use(&connection);
    }
    Ok(response)
}

/// Keeps the connection of a request from being reused. These schemes are not defined for HTTP/2,
/// where requests share a connection.
fn close_after_use(connection: &CaptureConnection) {
    if let Some(connected) = connection.connection_metadata().as_ref().filter(|connected| !connected.is_negotiated_h2())
    {
        connected.poison();
    }
}

/// Returns whether a field names NTLM or Negotiate as one of its schemes. A parameter that looks
/// like a scheme counts too.
fn names_connection_scheme(headers: &HeaderMap, field: &HeaderName) -> bool {
    let schemes = headers.get_all(field).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    schemes
        .filter_map(|challenge| challenge.trim_ascii_start().split(u8::is_ascii_whitespace).next())
        .any(|scheme| scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn schemes_are_found_in_every_value() {
        let names = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            }
            names_connection_scheme(&headers, &WWW_AUTHENTICATE)
        };
        assert!(names(&["NTLM"]) && names(&["ntlm TlRMTVNTUAAC"]) && names(&["Negotiate\tYII="]));
        assert!(names(&["Basic realm=\"a\"", "negotiate"]) && names(&["Basic realm=\"a\",NTLM"]));
        assert!(!names(&[]) && !names(&["Basic realm=\"NTLM\""]) && !names(&["Bearer NTLM"]) && !names(&["NTLMv3"]));
    }
}
