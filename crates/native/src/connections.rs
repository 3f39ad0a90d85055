//! Limits of concurrent connections: in total, and per client, so that one client cannot use all
//! of them.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit of each client.
#[derive(Debug)]
pub(crate) struct Clients {
    limit: usize,
    semaphores: Mutex<Semaphores>,
}

#[derive(Debug, Default)]
struct Semaphores {
    by_client: HashMap<IpAddr, Weak<Semaphore>>,
    /// The number of clients at which those without permits are removed.
    prune_at: usize,
}

impl Clients {
    /// Creates a limit.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, semaphores: Mutex::default() }
    }

    /// Returns the semaphore of a client. It lives as long as its permits.
    pub(crate) fn of(&self, client: IpAddr) -> Arc<Semaphore> {
        /// The least number of clients at which some are removed.
        const MIN_CLIENTS: usize = 64;

        let mut semaphores = self.semaphores.lock().unwrap_or_else(PoisonError::into_inner);
        if semaphores.by_client.len() >= semaphores.prune_at {
            semaphores.by_client.retain(|_, semaphore| semaphore.strong_count() > 0);
            semaphores.prune_at = MIN_CLIENTS.max(2 * semaphores.by_client.len());
        }
        let entry = semaphores.by_client.entry(network(client)).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let semaphore = Arc::new(Semaphore::new(self.limit));
            *entry = Arc::downgrade(&semaphore);
            semaphore
        })
    }
}

/// The connections of each client: at the limit, as many again wait.
#[derive(Debug)]
pub(crate) struct Connections {
    /// All connections of a client.
    open: Clients,
    /// Those that are served.
    served: Clients,
}

/// One connection of a client, which may have to wait. Released on drop.
#[derive(Debug)]
pub(crate) struct ClientPermit(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
    Arc<Semaphore>,
    Option<OwnedSemaphorePermit>,
);

impl Connections {
    /// Creates a limit per client. No client has more than half of `all` connections.
    pub(crate) fn new(limit: usize, all: usize) -> Self {
        Self { open: Clients::new(limit.saturating_mul(2).min(all.div_ceil(2))), served: Clients::new(limit) }
    }

    /// Counts a connection. `None` if too many of the client wait.
    pub(crate) fn open(&self, client: IpAddr) -> Option<ClientPermit> {
        let permit = self.open.of(client).try_acquire_owned().ok()?;
        Some(ClientPermit(permit, self.served.of(client), None))
    }
}

impl ClientPermit {
    /// Waits until the connection may be served.
    pub(crate) async fn wait(&mut self) {
        self.2 = Arc::clone(&self.1).acquire_owned().await.ok();
    }
}

/// The permits of one connection: of the total, and of its client if that is limited.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held for its drop")] pub(crate) OwnedSemaphorePermit,
    pub(crate) Option<ClientPermit>,
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
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn each_client_has_its_own_limit() {
        let connections = Connections::new(1, 10);
        let open = |client: &str| connections.open(client.parse().unwrap());
        let mut first = open("192.0.2.1").unwrap();
        first.wait().await;
        let mut second = open("::ffff:192.0.2.1").unwrap();
        assert!(open("192.0.2.1").is_none(), "one is served, and one waits");
        let (mut other, mut waiting) = (open("192.0.2.2").unwrap(), pin!(second.wait()));
        tokio::select! {
            biased;
            () = &mut waiting => panic!("the second connection was served beside the first"),
            () = other.wait() => {}
        }
        drop(first);
        waiting.await;
        let _six = (open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap());
        assert!(open("2001:db8::3").is_none());
        assert!(open("2001:db8:0:1::3").is_some());
    }

    #[test]
    fn one_client_leaves_connections_to_others() {
        let connections = Connections::new(256, 384);
        let open: Vec<_> = (0..400).filter_map(|_| connections.open([192, 0, 2, 1].into())).collect();
        assert_eq!(open.len(), 192);
    }

    #[test]
    fn clients_without_permits_are_removed() {
        let clients = Clients::new(1);
        let _held = clients.of([192, 0, 2, 1].into());
        for n in 0..10_000_u32 {
            drop(clients.of(n.to_be_bytes().into()));
        }
        assert!(clients.semaphores.lock().unwrap().by_client.len() <= 128);
    }
}
