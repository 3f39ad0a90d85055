//! Taking connections in, and what each may take: time to say something, room for headers, patience
//! with answers.

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
use crate::connections::{Connections, Place, Placed};
use crate::options::Limits;
use crate::peer::{Peer, TrustedProxies};
use crate::proxy::Proxy;

/// What all listeners share.
pub(crate) struct Gate {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) trusted: TrustedProxies,
    pub(crate) limits: Limits,
    /// Replaced when the files are read again.
    pub(crate) tls: RwLock<Option<TlsAcceptor>>,
    pub(crate) public_scheme: Option<&'static str>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) room: Arc<Semaphore>,
    /// Has connections end with the request under way.
    pub(crate) stop: CancellationToken,
}

impl Gate {
    /// Accepts connections for ever.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // Out of file descriptors, perhaps: some will be free soon.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let counted = self.connections.open(from.ip());
            if counted.is_none() && !self.trusted.has(from.ip()) {
                continue;
            }
            // Who finds no room waits, with all behind in the machine's own queue. Not before there
            // is a connection: a listener that nobody uses would keep room from the others. The
            // semaphore is never closed.
            let Ok(room) = Arc::clone(&self.room).acquire_owned().await else { return };
            self.proxy.spawn(Arc::clone(&self).connection(stream, from, Place(room, counted)));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, from: SocketAddr, place: Place) {
        // Neither is worth losing a connection for.
        let _ = stream.set_nodelay(true);
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let mut stream = TimeoutStream::new(Placed { stream, _place: place });
        stream.set_write_timeout(Some(self.limits.idle));
        let stream = Box::pin(stream);
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(tls) = tls else {
            let peer = Peer { ip: from.ip(), scheme: self.public_scheme.unwrap_or("http") };
            return self.http1(stream, peer).await;
        };
        let peer = Peer { ip: from.ip(), scheme: self.public_scheme.unwrap_or("https") };
        // A handshake that fails is the client's affair.
        let handshake = tokio::time::timeout(self.limits.idle, tls.accept(stream));
        let Some(Ok(Ok(mut stream))) = self.stop.run_until_cancelled(handshake).await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            // Whoever is there answers pings. Those who have not even begun to speak HTTP/2 get
            // none.
            let silence = self.ping() + self.limits.idle;
            stream.get_mut().0.as_mut().set_read_timeout_pinned(Some(silence));
            self.http2(stream, peer).await;
        } else {
            self.http1(stream, peer).await;
        }
    }

    /// HTTP/1.1, with upgrades. The version is told, not guessed from the first bytes: nobody would
    /// limit the wait for them.
    async fn http1(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            // The time also runs while a kept connection waits for its next request.
            .header_read_timeout(self.limits.idle)
            .max_buf_size(self.limits.header_size);
        let connection = http.serve_connection(TokioIo::new(stream), service(Arc::clone(&self.proxy), peer));
        let mut connection = pin!(connection.with_upgrades());
        tokio::select! {
            // How it ended is in the access log, if there was a request.
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    /// After how much silence a client on HTTP/2 is asked whether it is still there.
    fn ping(&self) -> Duration {
        self.limits.idle.min(Duration::from_secs(20))
    }

    async fn http2(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let mut http = hyper::server::conn::http2::Builder::new(Streams(Arc::clone(&self.proxy)));
        http.timer(TokioTimer::new())
            .keep_alive_interval(self.ping())
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

/// Runs the streams of HTTP/2, which are tasks of their own.
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
        async move { Ok(proxy.answer(request, peer).await) }
    })
}
