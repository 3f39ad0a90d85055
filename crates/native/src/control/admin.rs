//! The admin listener: the status endpoint and the control API on an address of their own.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_core::host::strip_port;
use tunnel_balancer_core::{Clock, Reason};
use tunnel_balancer_state::control::{ControlRequest, ControlResponse, Failures, Token};
use tunnel_balancer_status::{Endpoint, StatusResponse};
use tunnel_balancer_tokio::TokioClock;

use crate::connections::Clients;
use crate::listener::Acceptor;
use crate::rejections::Rejections;
use crate::status_endpoint::{StatusEndpoint, to_http};

/// A request that waits for the [`Controller`](super::Controller).
#[derive(Debug)]
pub(crate) struct Pending {
    method: String,
    path: String,
    query: String,
    content_type: Option<String>,
    host: Option<String>,
    origin: Option<String>,
    body: Bytes,
    /// Receives the response.
    pub(super) reply: oneshot::Sender<ControlResponse>,
}

impl Pending {
    pub(super) fn request(&self) -> ControlRequest<'_> {
        ControlRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            content_type: self.content_type.as_deref(),
            host: self.host.as_deref(),
            origin: self.origin.as_deref(),
            body: &self.body,
        }
    }
}

/// The listener of operators: the status endpoint and the control API.
pub(crate) struct Admin {
    /// Without a token, only programs of this machine are accepted.
    pub(crate) token: Option<Token>,
    pub(crate) failures: Mutex<Failures>,
    /// Where requests are carried out.
    pub(crate) requests: mpsc::Sender<Pending>,
    pub(crate) status: Arc<StatusEndpoint>,
    pub(crate) clock: TokioClock,
    /// Canceled when the listener closes.
    pub(crate) stop: CancellationToken,
}

impl Admin {
    /// The largest number of connections. More of them wait.
    const CONNECTIONS: usize = 256;

    /// The largest number of connections of one address. More of them are closed.
    const CONNECTIONS_PER_CLIENT: usize = 16;

    /// The time for the head or the body of a request.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates a listener, and the channel to the controller.
    pub(crate) fn new(
        token: Option<Token>,
        status: Arc<StatusEndpoint>,
        clock: TokioClock,
    ) -> (Arc<Self>, mpsc::Receiver<Pending>) {
        let (requests, receiver) = mpsc::channel(Self::CONNECTIONS_PER_CLIENT);
        let (failures, stop) = (Mutex::default(), CancellationToken::new());
        (Arc::new(Self { token, failures, requests, status, clock, stop }), receiver)
    }

    /// Serves connections until the listener closes.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener, acceptor: Arc<Acceptor>) {
        let (permits, clients) =
            (Arc::new(Semaphore::new(Self::CONNECTIONS)), Clients::new(Self::CONNECTIONS_PER_CLIENT));
        let accepting = async {
            loop {
                let Ok((stream, from)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let Ok(client) = clients.of(from.ip()).try_acquire_owned() else { continue };
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let (admin, acceptor) = (Arc::clone(&self), Arc::clone(&acceptor));
                tokio::spawn(async move {
                    admin.serve(stream, from, &acceptor).await;
                    drop((permit, client));
                });
            }
        };
        self.stop.run_until_cancelled(accepting).await;
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr, acceptor: &Acceptor) {
        let service = service_fn(async |request| {
            Ok::<_, Infallible>(self.respond(request, from.ip(), &acceptor.rejections).await.map(Full::new))
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(Self::TIMEOUT).max_buf_size(16 * 1024);
        let connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let _ = self.stop.run_until_cancelled(connection).await;
    }

    async fn respond(&self, request: Request<Incoming>, client: IpAddr, rejections: &Rejections) -> Response<Bytes> {
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        // A page of another site may have a name that leads to this machine.
        if self.token.is_none() && !host.is_some_and(is_this_machine) {
            return to_http(StatusResponse::from(ControlResponse::forbidden()));
        }
        let endpoint = self.status.admin();
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path == "/" {
            return to_http(StatusResponse::redirect(Endpoint::PREFIX));
        }
        if endpoint.path(path).is_none() || endpoint.control_path(path).is_some() {
            return to_http(self.control(parts, body, client, rejections).await.into());
        }
        to_http(self.status.respond(&endpoint, &parts.method, &parts.uri, &parts.headers, client, rejections).await)
    }

    /// Responds to a request to the control API.
    async fn control(
        &self,
        request: Parts,
        body: Incoming,
        client: IpAddr,
        rejections: &Rejections,
    ) -> ControlResponse {
        let text = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(token) = &self.token {
            let now = u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX);
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(refused) = failures.check(token, text(AUTHORIZATION), now) {
                drop(failures);
                rejections.add(Reason::Unauthorized, client, "the control API");
                return refused;
            }
        }
        let (reply, response) = oneshot::channel();
        let (method, origin) = (request.method.to_string(), text(ORIGIN).map(str::to_owned));
        let (path, query) = (request.uri.path().to_owned(), request.uri.query().unwrap_or_default().to_owned());
        let (content_type, host) = (text(CONTENT_TYPE).map(str::to_owned), text(HOST).map(str::to_owned));
        let body = Limited::new(body, ControlRequest::MAX_BODY + 1).collect();
        let Ok(Ok(body)) = timeout(Self::TIMEOUT, body).await else {
            return ControlResponse::error(400, "invalid_command", "the body is incomplete or too large");
        };
        let body = body.to_bytes();
        let pending = Pending { method, path, query, content_type, host, origin, body, reply };
        // The controller ends when the proxy stops.
        let _ = self.requests.send(pending).await;
        response.await.unwrap_or_else(|_| ControlResponse::error(503, "stopping", "the proxy stops"))
    }
}

/// Returns whether a `Host` header names this machine.
fn is_this_machine(host: &str) -> bool {
    let name = strip_port(host);
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_recognized() {
        for host in ["localhost", "LOCALHOST:9000", "127.0.0.1:9000", "127.1.2.3", "[::1]:9000", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:9000", "127.0.0.1.evil.example", "10.0.0.1:9000"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
