//! How many connections there are, in all and of each client: one client must not be able to take
//! them all.

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
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Connections {
    /// At most this many for one client.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// Counts one more; `None` when the client has as many as it may.
    pub(crate) fn open(self: &Arc<Self>, client: IpAddr) -> Option<Counted> {
        let client = network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { connections: Arc::clone(self), client })
    }
}

impl Drop for Counted {
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

/// The place of one connection: among all, and among those of its client where that is limited.
#[derive(Debug)]
pub(crate) struct Place(
    #[expect(dead_code, reason = "held for its drop")] pub(crate) OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")] pub(crate) Option<Counted>,
);

/// A connection with its place, which is given back when the connection is closed. A WebSocket
/// leaves the task that its connection began in.
#[derive(Debug)]
pub(crate) struct Placed<S> {
    pub(crate) stream: S,
    pub(crate) _place: Place,
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
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

/// Who counts as one client. Whoever has one address of IPv6 has the 2^64 beside it as well.
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
        assert_eq!(connections.open.lock().unwrap().len(), 3, "nothing is kept of those who left");
    }
}
