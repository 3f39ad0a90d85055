//! A server that names itself in its responses, and can be killed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A server that names itself in its responses.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// The address of a server that was killed.
pub struct Killed(SocketAddr);

impl Server {
    /// Starts a server on a free port.
    pub async fn start(name: &'static str) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), name)
    }

    fn listen(listener: TcpListener, name: &'static str) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                let service = service_fn(move |request| respond(name, request));
                served
                    .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, connections, task }
    }

    /// Returns the URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of connections that were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and all connections.
    pub async fn kill(self) -> Killed {
        self.task.abort();
        // Ends with the error of a canceled task.
        let _ = self.task.await;
        Killed(self.address)
    }
}

impl Killed {
    /// Starts a server on the same port.
    pub async fn restart(self, name: &'static str) -> Server {
        Server::listen(TcpListener::bind(self.0).await.unwrap(), name)
    }
}

async fn respond(name: &str, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = format!("{name}: {} {} {:?}", parts.method, parts.uri, String::from_utf8_lossy(&body));
    let mut response = Response::new(Full::from(text));
    if let Some(client) = parts.headers.get("x-forwarded-for") {
        response.headers_mut().insert("x-seen-client", client.clone());
    }
    Ok(response)
}
