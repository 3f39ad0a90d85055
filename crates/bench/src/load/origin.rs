//! A server that responds at once: `/large` with 64 KiB, everything else with a short text.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tunnel_balancer_tests::wire::Wire;

use crate::Result;

/// The size of the body of `/large`.
const LARGE: usize = 64 * 1024;

const SMALL: &str = "The quick brown fox jumps over the lazy dog. 0123456789 0123456789 0123456789 01234";

/// A server on a thread of its own, for the life of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(SocketAddr);

impl Origin {
    /// Starts a server on a free port of loopback.
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            LocalSet::new().block_on(&runtime.expect("a runtime"), accept(listener));
        });
        Ok(Self(addr))
    }

    /// Returns the address.
    pub(crate) fn addr(self) -> SocketAddr {
        self.0
    }

    /// Returns the URL without a path.
    pub(crate) fn url(self) -> String {
        format!("http://{}", self.0)
    }
}

async fn accept(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let (small, large) = (response(SMALL.as_bytes()), response(&[b'x'; LARGE]));
    let (small, large): (&[u8], &[u8]) = (small.leak(), large.leak());
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(serve(Wire::new(stream), small, large));
    }
}

/// Serves one connection until it ends.
async fn serve(mut wire: Wire, small: &[u8], large: &[u8]) {
    while let Ok(Some(head)) = wire.head().await {
        let mut framing = head.request_framing();
        while let Ok(Some(_)) = wire.piece(&mut framing).await {}
        let response = if head.first_line.starts_with("GET /large") { large } else { small };
        if wire.send(response).await.is_err() {
            return;
        }
    }
}

fn response(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nServer: origin\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
