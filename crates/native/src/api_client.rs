//! Single requests to an HTTP API, such as the control API of another proxy.

use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tunnel_balancer_core::ServerTls;
use tunnel_balancer_tokio::host::client_config;
use tunnel_balancer_tokio::host::error;

/// The response of an API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApiResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The largest body of a response.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// Sends one request and reads the response, within `timeout`. Redirects are not followed.
/// Certificates are verified by the roots of the machine.
///
/// # Errors
/// Why there is no response. The message does not contain the URL.
pub async fn call_api(request: Request<Bytes>, timeout: Duration) -> Result<ApiResponse, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let request = request.map(Full::from);
    let response = async {
        if request.uri().scheme() == Some(&Scheme::HTTPS) {
            let https = HttpsConnectorBuilder::new().with_tls_config(client_config(&ServerTls::default())?);
            send(https.https_only().enable_all_versions().wrap_connector(tcp), request).await
        } else {
            send(tcp, request).await
        }
    };
    tokio::time::timeout(timeout, response).await.unwrap_or_else(|_| Err(format!("no response within {timeout:?}")))
}

async fn send<C>(connector: C, request: Request<Full<Bytes>>) -> Result<ApiResponse, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.request(request).await;
    let response = response.map_err(|error| error::cause(&error).unwrap_or_else(|| error::describe(&error)))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| format!("invalid response: {error}"))?;
    Ok(ApiResponse { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}
