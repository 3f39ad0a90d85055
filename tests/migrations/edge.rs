//! Cloudflare's network on this machine: a reverse proxy that follows the state of an account.

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tunnel_balancer_tests::within;

use crate::account::{Account, Destination};

/// A running edge. Its listeners end with the runtime.
#[derive(Clone)]
pub(crate) struct Edge {
    account: Arc<Mutex<Account>>,
    /// The number of requests of clients so far.
    requests: Arc<watch::Sender<usize>>,
    addresses: Addresses,
}

/// Where an edge listens.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    /// For clients.
    pub(crate) http: SocketAddr,
    /// For clients, with the certificate that [`Edge::start`] writes.
    pub(crate) https: SocketAddr,
    /// For requests of Workers.
    pub(crate) origin: SocketAddr,
}

type Body = Either<Incoming, Full<Bytes>>;

impl Edge {
    /// Starts an edge. Writes the certificate of its zone into a file.
    pub(crate) async fn start(certificate: &Path) -> Self {
        let (http, https, origin) = (listener().await, listener().await, listener().await);
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound listener");
        let addresses = Addresses { http: address(&http), https: address(&https), origin: address(&origin) };
        let edge = Self { account: Arc::default(), requests: Arc::default(), addresses };
        tokio::spawn(edge.clone().accept(http, None, false));
        tokio::spawn(edge.clone().accept(https, Some(acceptor(certificate)), false));
        tokio::spawn(edge.clone().accept(origin, None, true));
        edge
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("no panic while locked")
    }

    /// Waits until clients have sent `count` further requests.
    pub(crate) async fn further_requests(&self, count: usize) {
        let mut requests = self.requests.subscribe();
        let enough = *requests.borrow() + count;
        let wait = requests.wait_for(|requests| *requests >= enough);
        within("further requests of clients", wait).await.expect("the edge keeps the sender alive");
    }

    async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>, is_origin: bool) {
        while let Ok((stream, _)) = listener.accept().await {
            let (edge, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => edge.serve(stream, is_origin).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            edge.serve(stream, is_origin).await;
                        }
                    }
                }
            });
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, is_origin: bool) {
        let service = service_fn(|request| {
            let edge = self.clone();
            async move { Ok::<_, Infallible>(edge.respond(request, is_origin).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client may disconnect at any time.
        let _ = connection.await;
    }

    async fn respond(&self, mut request: Request<Incoming>, is_origin: bool) -> Response<Body> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        let destination = if is_origin {
            self.account().origin(&host)
        } else {
            self.requests.send_modify(|requests| *requests += 1);
            request.headers_mut().insert("CF-Connecting-IP", HeaderValue::from_static("203.0.113.7"));
            self.account().route(&host, request.uri().path())
        };
        match destination {
            Destination::Status(status, reason) => local(status, reason),
            Destination::Server(address) => {
                forward(request, address).await.unwrap_or_else(|_| local(502, "the server does not respond"))
            }
        }
    }
}

/// Sends the requests of a listener to the first server that accepts a connection.
pub(crate) async fn serve_first(listener: TcpListener, servers: Vec<SocketAddr>) {
    while let Ok((stream, _)) = listener.accept().await {
        let servers = servers.clone();
        let service = service_fn(move |request| {
            let servers = servers.clone();
            async move {
                for server in &servers {
                    if TcpStream::connect(server).await.is_ok() {
                        let response = forward(request, *server).await;
                        return Ok::<_, Infallible>(response.unwrap_or_else(|_| local(502, "no response")));
                    }
                }
                Ok(local(503, "no server"))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

/// Sends a request to a server on a connection of its own, so that none is reused while it closes.
async fn forward(
    request: Request<Incoming>,
    address: SocketAddr,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Either::Left))
}

fn local(status: u16, reason: &'static str) -> Response<Body> {
    let response = Response::builder().status(status).body(Either::Right(Full::from(reason)));
    response.expect("a valid response")
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port on loopback")
}

fn acceptor(certificate: &Path) -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["*.example.com".to_owned()]).expect("a certificate");
    fs::write(certificate, own.cert.pem()).expect("a directory of our own");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols of the provider")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")))
}
