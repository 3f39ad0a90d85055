//! Listens, accepts connections and limits their number.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_core::Reason;

use crate::connection;
use crate::connections::{ConnectionPermit, Connections};
use crate::options::{Limits, Protocol};
use crate::proxy::Proxy;
use crate::rejections::Rejections;
use crate::status_endpoint::StatusEndpoint;

/// The state that all listeners share.
pub(crate) struct Acceptor {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) status: Arc<StatusEndpoint>,
    pub(crate) limits: Limits,
    /// Replaced when a certificate changes.
    pub(crate) tls: RwLock<Option<TlsAcceptor>>,
    /// The port to which HTTP is redirected.
    pub(crate) https_port: u16,
    pub(crate) public_scheme: Option<&'static str>,
    pub(crate) connections: Connections,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) rejections: Rejections,
    /// Closes listeners, and HTTP/1.1 connections after their next response.
    pub(crate) closing: CancellationToken,
    /// Closes connections after their requests in flight.
    pub(crate) stop: CancellationToken,
}

/// The time for which connections that have begun before the shutdown are accepted.
const HANDSHAKES: Duration = Duration::from_millis(300);

/// Listens on an address. On Unix, several processes can share it, so that a new one replaces an
/// old one while that drains.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    /// The connections that may wait for [`Acceptor::accept`].
    const BACKLOG: u32 = 1024;

    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows, SO_REUSEADDR would let any process take over the address.
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Drops the packets that begin a connection, but not those of handshakes in progress. Their
/// clients repeat them after a second: by then the listener of another process receives them, or
/// they are refused. If a listener were closed at once, the kernel would reset connections that the
/// client has already opened.
#[cfg(target_os = "linux")]
fn reject_new(listener: &TcpListener) {
    use socket2::{SockFilter, SockRef};

    /// Loads the flags of the TCP header, selects SYN and ACK, and drops the packet if SYN is set
    /// alone.
    const FILTER: [SockFilter; 5] = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x54, 0, 0, 0x12),
        SockFilter::new(0x15, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    // Without the filter, a connection that begins now may be reset.
    let _ = SockRef::from(listener).attach_filter(&FILTER);
}

#[cfg(not(target_os = "linux"))]
fn reject_new(_: &TcpListener) {}

impl Acceptor {
    /// Returns the time after which a response that its client does not read is reset.
    pub(crate) fn unread_timeout(&self) -> Duration {
        /// The timeout while connections or requests wait for the end of others.
        const IF_TAKEN: Duration = Duration::from_secs(3);

        let is_taken = self.permits.available_permits() == 0 || self.proxy.are_requests_waiting();
        if is_taken { self.limits.idle.min(IF_TAKEN) } else { self.limits.idle }
    }

    /// Accepts connections until the shutdown, and then those that wait.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener, protocol: Protocol) {
        let accepting = async {
            loop {
                let Ok((stream, from)) = listener.accept().await else {
                    // Usually a lack of file descriptors, which other connections release.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                // At the limit, new connections wait in the kernel's accept queue. The permit is
                // taken after `accept`, so that an idle listener holds none.
                self.admit(stream, from, protocol).await;
            }
        };
        tokio::pin!(accepting);
        if self.closing.run_until_cancelled(accepting.as_mut()).await.is_none() {
            reject_new(&listener);
            let _ = tokio::time::timeout(HANDSHAKES, accepting).await;
        }
    }

    async fn admit(self: &Arc<Self>, stream: TcpStream, from: SocketAddr, protocol: Protocol) {
        let client = match self.proxy.is_limited(from.ip()) {
            true => match self.connections.open(from.ip()) {
                None => {
                    let detail = "the client has too many connections";
                    return self.rejections.add(Reason::TooManyConnections, from.ip(), detail);
                }
                open => open,
            },
            false => None,
        };
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
        let permit = ConnectionPermit(permit, client);
        self.proxy.spawn(connection::serve(Arc::clone(self), stream, from.ip(), permit, protocol));
    }
}
