//! Limits of concurrent connections: in total, and per client, so that one client cannot use all
//! of them.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

/// The connections of each client.
#[derive(Debug)]
pub(crate) struct Connections {
    /// The limit per client.
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One counted connection of a client. Released on drop.
#[derive(Debug)]
pub(crate) struct ClientPermit {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Connections {
    /// Creates a counter with a limit per client.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Counts a connection. `None` if the client is at its limit.
    pub(crate) fn open(self: &Arc<Self>, client: IpAddr) -> Option<ClientPermit> {
        let client = network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(ClientPermit { connections: Arc::clone(self), client })
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// The permits of one connection: of the total, and of its client if that is limited.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held for its drop")] pub(crate) OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")] pub(crate) Option<ClientPermit>,
);

/// A connection with its permits, which are released when it is closed. The permits belong to the
/// stream, because a WebSocket outlives the task of its connection.
#[derive(Debug)]
pub(crate) struct GuardedStream<S> {
    pub(crate) stream: S,
    pub(crate) _permit: ConnectionPermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Returns the address by which a client is counted. An IPv6 client usually controls a whole /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_limit() {
        let connections = Connections::new(2);
        let open = |client: &str| connections.open(client.parse().unwrap());
        let first = open("192.0.2.1");
        let _second = open("::ffff:192.0.2.1");
        assert!(open("192.0.2.1").is_none());
        let _other = open("192.0.2.2").unwrap();
        drop(first);
        let _third = open("192.0.2.1").unwrap();
        let _six = (open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap());
        assert!(open("2001:db8::3").is_none());
        assert!(open("2001:db8:0:1::3").is_some());
        assert_eq!(connections.open.lock().unwrap().len(), 3, "clients without connections are removed");
    }
}
