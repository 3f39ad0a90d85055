//! HTTP/2 requests that a server did not process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tunnel_balancer_tests::{Bench, Service};

use super::tls::{self, Files};

cases![
    not on Worker: "Cloudflare's runtime keeps the connections to servers";
    requests_above_the_last_stream_are_sent_again,
    refused_streams_are_sent_again,
];

/// The end of a server's service on a connection.
#[derive(Clone, Copy)]
enum End {
    /// The connection ends after a number of requests. Further ones are not processed.
    GoAway,
    /// Every tenth request is refused.
    Refused,
}

async fn requests_above_the_last_stream_are_sent_again(bench: Bench) {
    all_are_processed_once(bench, End::GoAway).await;
}

async fn refused_streams_are_sent_again(bench: Bench) {
    all_are_processed_once(bench, End::Refused).await;
}

async fn all_are_processed_once(bench: Bench, end: End) {
    const REQUESTS: usize = 200;
    let files = Files::new("localhost");
    let (port, processed) = serve(&files, end).await;
    let service = Service::at([("primary", format!("https://localhost:{port}"))]);
    let proxy = bench.serve_with_roots(service, &[], files.certificate()).await;
    let post = |_| proxy.post("/", "order");
    let responses: Vec<_> = stream::iter(0..REQUESTS).map(post).buffer_unordered(20).collect().await;
    for response in responses {
        assert_eq!((response.status, response.served_by()), (200, "primary"), "{response:?}");
    }
    assert_eq!(processed.load(Ordering::Relaxed), REQUESTS);
    assert!(!proxy.log().text().contains("attempt_failed"), "{}", proxy.log().text());
}

/// Starts a server. Returns its port and the number of processed requests.
async fn serve(files: &Files, end: End) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, processed) = (tls::acceptor(files), Arc::<AtomicUsize>::default());
    let all = Arc::clone(&processed);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, processed) = (acceptor.clone(), Arc::clone(&all));
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await?;
                Connection { stream, processed, end, last: None }.run().await
            });
        }
    });
    (port, processed)
}

struct Connection {
    stream: TlsStream<TcpStream>,
    processed: Arc<AtomicUsize>,
    end: End,
    /// The last stream of a connection that ends.
    last: Option<u32>,
}

impl Connection {
    const PER_CONNECTION: usize = 25;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;

    /// Serves requests until the peer closes the connection.
    async fn run(mut self) -> io::Result<()> {
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface).await?;
        self.send(Self::SETTINGS, 0, 0, &[]).await?;
        let (mut requests, mut highest) = (0, 0);
        loop {
            let (kind, flags, id, payload) = self.frame().await?;
            let is_acknowledgement = flags & 1 != 0;
            match kind {
                Self::SETTINGS if !is_acknowledgement => self.send(Self::SETTINGS, 1, 0, &[]).await?,
                Self::PING if !is_acknowledgement => self.send(Self::PING, 1, 0, &payload).await?,
                // The end of a request.
                Self::DATA | Self::HEADERS if flags & 1 != 0 && self.last.is_none_or(|last| id <= last) => {
                    (requests, highest) = (requests + 1, id.max(highest));
                    match self.end {
                        End::Refused if requests % 10 == 0 => self.send(Self::RESET, 0, id, &[0, 0, 0, 7]).await?,
                        _ => self.process(id).await?,
                    }
                    if matches!(self.end, End::GoAway) && requests == Self::PER_CONNECTION {
                        self.last = Some(highest);
                        let no_error = [0; 4];
                        let payload = [highest.to_be_bytes(), no_error].concat();
                        self.send(Self::GO_AWAY, 0, 0, &payload).await?;
                    }
                }
                _ => {}
            }
        }
    }

    /// Responds with 200, the eighth entry of the static table of HPACK.
    async fn process(&mut self, id: u32) -> io::Result<()> {
        self.processed.fetch_add(1, Ordering::Relaxed);
        self.send(Self::HEADERS, 5, id, &[0x88]).await
    }

    async fn frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok((kind, flags, u32::from_be_bytes(id), payload))
    }

    async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags];
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }
}
