//! Clients that send the next request when the response to the last one has ended (closed loop).

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tunnel_balancer_tests::client::HOST;
use tunnel_balancer_tests::wire::Wire;

use crate::Result;
use crate::stats::percentile;

/// A number of requests on a number of connections.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The address of the proxy.
    pub(crate) addr: SocketAddr,
    /// One request, as bytes: see [`get`].
    pub(crate) request: String,
    /// The number of connections.
    pub(crate) connections: usize,
    /// The number of requests on all of them.
    pub(crate) requests: usize,
}

/// The responses to a load.
#[derive(Debug)]
pub(crate) struct Responses {
    /// In µs.
    latencies: Vec<f64>,
    elapsed: Duration,
}

impl Load {
    /// Sends the requests. Fails if one of them is not responded to with 200.
    pub(crate) async fn run(&self) -> Result<Responses> {
        let left = Rc::new(Cell::new(self.requests));
        let (local, mut clients) = (LocalSet::new(), JoinSet::new());
        for _ in 0..self.connections.min(self.requests) {
            clients.spawn_local_on(client(self.addr, self.request.clone(), Rc::clone(&left)), &local);
        }
        let start = Instant::now();
        let results = local.run_until(clients.join_all()).await;
        let elapsed = start.elapsed();
        let mut latencies = Vec::with_capacity(self.requests);
        for result in results {
            latencies.extend(result.map_err(|error| format!("a request to {} failed: {error}", self.addr))?);
        }
        Ok(Responses { latencies, elapsed })
    }

    /// Opens connections that have had one request each.
    pub(crate) async fn open_idle(&self, connections: usize) -> Result<Vec<Wire>> {
        let mut idle = Vec::with_capacity(connections);
        for _ in 0..connections {
            let opened = async {
                let mut wire = Wire::new(TcpStream::connect(self.addr).await?);
                exchange(&mut wire, &self.request).await.map(|()| wire)
            };
            idle.push(opened.await.map_err(|error| format!("a connection to {} failed: {error}", self.addr))?);
        }
        Ok(idle)
    }
}

impl Responses {
    /// Returns the responses per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency below which this share of the responses is, in µs.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        percentile(&mut self.latencies, share)
    }
}

/// Returns a GET request with the headers that a browser and Cloudflare send, and `more` lines.
pub(crate) fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{HEADERS}{more}\r\n")
}

/// Returns a POST request with a body of this size.
pub(crate) fn post(path: &str, size: usize) -> String {
    let body = "x".repeat(size);
    format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{HEADERS}Content-Length: {size}\r\n\r\n{body}")
}

const HEADERS: &str = "\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip\r\n\
CF-Connecting-IP: 203.0.113.7\r\n\
CF-IPCountry: DE\r\n\
CF-Ray: 8f1e2d3c4b5a6978-FRA\r\n\
CF-Visitor: {\"scheme\":\"https\"}\r\n\
X-Forwarded-For: 203.0.113.7\r\n\
X-Forwarded-Proto: https\r\n";

/// Sends requests on one connection until none is left. Returns their latencies in µs.
async fn client(addr: SocketAddr, request: String, left: Rc<Cell<usize>>) -> io::Result<Vec<f64>> {
    let mut wire = Wire::new(TcpStream::connect(addr).await?);
    let mut latencies = Vec::new();
    while left.get() > 0 {
        left.set(left.get() - 1);
        let start = Instant::now();
        exchange(&mut wire, &request).await?;
        latencies.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
}

/// Sends a request and reads the response, which must be 200.
async fn exchange(wire: &mut Wire, request: &str) -> io::Result<()> {
    let method = request.split(' ').next().unwrap_or_default();
    wire.send(request).await?;
    let head = wire.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.first_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let mut framing = head.response_framing(method, status);
    while wire.piece(&mut framing).await?.is_some() {}
    if status == 200 {
        Ok(())
    } else {
        Err(io::Error::other(format!("expected status 200, found `{}`", head.first_line)))
    }
}
