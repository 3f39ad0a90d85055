//! Opens TCP connections to servers.
//!
//! hyper doubles the size of its reads while a server is fast, up to 400 KB. A response whose
//! client does not read it holds several such buffers. So each read is short, except those of a
//! bounded number of connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

/// Opens connections whose reads are short, or long for some of them.
#[derive(Clone, Debug)]
pub(crate) struct TcpConnector {
    tcp: HttpConnector,
    /// The connections that may begin to read long pieces.
    long_reads: Arc<Semaphore>,
}

impl TcpConnector {
    /// The number of connections that may read long pieces at a time. Responses on them need up to
    /// 144 KiB more if their clients do not read.
    const LONG_READS: usize = 128;

    /// Creates a connector with a connect timeout.
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        Self { tcp, long_reads: Arc::new(Semaphore::new(Self::LONG_READS)) }
    }
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<ServerStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let (connecting, long_reads) = (self.tcp.call(server), Arc::clone(&self.long_reads));
        Box::pin(async { Ok(TokioIo::new(ServerStream::new(connecting.await?.into_inner(), long_reads))) })
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct ServerStream {
    stream: Take<TcpStream>,
    long_reads: Arc<Semaphore>,
    /// The permit for long reads. Held until a read is short again.
    long_read: Option<OwnedSemaphorePermit>,
}

impl ServerStream {
    /// The largest number of bytes of a short read.
    const SHORT: usize = 16 * 1024;

    /// The largest number of bytes of a long read.
    const LONG: usize = 64 * 1024;

    fn new(stream: TcpStream, long_reads: Arc<Semaphore>) -> Self {
        Self { stream: stream.take(0), long_reads, long_read: None }
    }
}

impl Connection for ServerStream {
    fn connected(&self) -> Connected {
        // Without its addresses, which hyper would add to each response.
        Connected::new()
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let was_long = this.long_read.is_some();
        // hyper asks for more only if the last reads filled its buffer.
        if buffer.remaining() > Self::SHORT && !was_long {
            this.long_read = Arc::clone(&this.long_reads).try_acquire_owned().ok();
        }
        let limit = if this.long_read.is_some() { Self::LONG } else { Self::SHORT };
        this.stream.set_limit(limit as u64);
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        // Pieces that were read before may still be in memory while data is awaited.
        let is_long = if read.is_ready() { buffer.filled().len() - before >= Self::SHORT } else { was_long };
        if !is_long {
            this.long_read = None;
        }
        read
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Opens a connection to a server that sends `bytes`, which have arrived.
    async fn connect(bytes: usize, long_reads: &Arc<Semaphore>) -> (ServerStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(&vec![0; bytes]).await.unwrap();
        let mut peeked = vec![0; bytes];
        while bytes > 0 && stream.peek(&mut peeked).await.unwrap() < bytes {}
        (ServerStream::new(stream, Arc::clone(long_reads)), server)
    }

    /// Returns how much is read with room for this number of bytes.
    async fn read(stream: &mut ServerStream, room: usize) -> usize {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await.unwrap();
        buffer.filled().len()
    }

    #[tokio::test]
    async fn reads_are_long_on_a_bounded_number_of_connections() {
        const SIZE: usize = ServerStream::LONG + 1000;

        let long_reads = Arc::new(Semaphore::new(1));
        let (mut first, _server) = connect(SIZE, &long_reads).await;
        let (mut second, _other) = connect(SIZE, &long_reads).await;
        assert_eq!(read(&mut first, 8192).await, 8192);
        assert_eq!(read(&mut second, SIZE).await, ServerStream::LONG);
        assert_eq!(read(&mut first, SIZE).await, ServerStream::SHORT, "the other connection has the permit");
        assert_eq!(read(&mut second, SIZE).await, 1000);
        assert_eq!(read(&mut first, SIZE).await, SIZE - 8192 - ServerStream::SHORT, "a short read released it");
        assert_eq!(long_reads.available_permits(), 0);
        drop(first);
        assert_eq!(long_reads.available_permits(), 1);
    }

    #[tokio::test]
    async fn an_idle_connection_has_no_permit() {
        let long_reads = Arc::new(Semaphore::new(1));
        let (mut stream, _server) = connect(0, &long_reads).await;
        let waiting = tokio::time::timeout(Duration::from_millis(10), read(&mut stream, ServerStream::LONG)).await;
        assert!(waiting.is_err());
        assert_eq!(long_reads.available_permits(), 1);
    }
}
