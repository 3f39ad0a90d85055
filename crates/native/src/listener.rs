//! Accepts connections and enforces their limits: timeouts, header size, number.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::body::ProxyBody;
use crate::connections::{ConnectionPermit, Connections, GuardedStream};
use crate::options::Limits;
use crate::peer::{Peer, TrustedProxies};
use crate::proxy::Proxy;

/// The state that all listeners share.
pub(crate) struct Acceptor {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) trusted: TrustedProxies,
    pub(crate) limits: Limits,
    /// Replaced when the certificate is reloaded.
    pub(crate) tls: RwLock<Option<TlsAcceptor>>,
    pub(crate) public_scheme: Option<&'static str>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) permits: Arc<Semaphore>,
    /// Closes connections after their requests in flight.
    pub(crate) stop: CancellationToken,
}

impl Acceptor {
    /// Accepts connections without end.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // Usually a lack of file descriptors, which other connections release.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let client = self.connections.open(from.ip());
            if client.is_none() && !self.trusted.contains(from.ip()) {
                continue;
            }
            // At the limit, new connections wait in the kernel's accept queue. The permit is taken
            // after `accept`, so that an idle listener holds none. The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            self.proxy.spawn(Arc::clone(&self).connection(stream, from, ConnectionPermit(permit, client)));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, from: SocketAddr, permit: ConnectionPermit) {
        // A connection works without either option.
        let _ = stream.set_nodelay(true);
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let mut stream = TimeoutStream::new(GuardedStream { stream, _permit: permit });
        stream.set_write_timeout(Some(self.limits.idle));
        let stream = Box::pin(stream);
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(tls) = tls else {
            let peer = Peer { ip: from.ip(), scheme: self.public_scheme.unwrap_or("http") };
            return self.http1(stream, peer).await;
        };
        let peer = Peer { ip: from.ip(), scheme: self.public_scheme.unwrap_or("https") };
        let handshake = tokio::time::timeout(self.limits.idle, tls.accept(stream));
        let Some(Ok(Ok(mut stream))) = self.stop.run_until_cancelled(handshake).await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            // Live clients respond to pings, which start after the HTTP/2 preface.
            let timeout = self.ping_interval() + self.limits.idle;
            stream.get_mut().0.as_mut().set_read_timeout_pinned(Some(timeout));
            self.http2(stream, peer).await;
        } else {
            self.http1(stream, peer).await;
        }
    }

    /// Serves HTTP/1.1 with upgrades. The version is not detected from the first bytes, because
    /// that wait would have no timeout.
    async fn http1(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            // Also the keep-alive timeout between two requests.
            .header_read_timeout(self.limits.idle)
            .max_buf_size(self.limits.header_size);
        let connection = http.serve_connection(TokioIo::new(stream), service(Arc::clone(&self.proxy), peer));
        let mut connection = pin!(connection.with_upgrades());
        tokio::select! {
            // The access log has the result of each request.
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    /// The interval of HTTP/2 pings to an idle client.
    fn ping_interval(&self) -> Duration {
        self.limits.idle.min(Duration::from_secs(20))
    }

    async fn http2(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let mut http = hyper::server::conn::http2::Builder::new(Streams(Arc::clone(&self.proxy)));
        http.timer(TokioTimer::new())
            .keep_alive_interval(self.ping_interval())
            .keep_alive_timeout(self.limits.idle)
            .max_concurrent_streams(100)
            .max_header_list_size(u32::try_from(self.limits.header_size).unwrap_or(u32::MAX));
        let connection = http.serve_connection(TokioIo::new(stream), service(Arc::clone(&self.proxy), peer));
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// The executor of HTTP/2 streams, each of which is a task.
#[derive(Clone)]
struct Streams(Arc<Proxy>);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.spawn(async { drop(stream.await) });
    }
}

fn service(
    proxy: Arc<Proxy>,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response<ProxyBody>, Error = Infallible, Future: Send + 'static> {
    service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { Ok(proxy.handle(request, peer).await) }
    })
}
