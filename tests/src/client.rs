//! An HTTP client that sends exact bytes and returns unchanged responses.
//!
//! Other HTTP clients normalize `GET //other-host/x`, decode gzip, follow redirects and join two
//! `Set-Cookie` headers, which the cases have to observe. Each call of [`Client`] uses a new
//! connection; [`Connection`] keeps one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::{fmt, io};

use bytes::Bytes;
use tokio::net::TcpSocket;

use crate::wire::{Framing, Head, Headers, Wire};
use crate::within;

/// The public host of the cases, and the default `Host` of a request.
pub const HOST: &str = "app.test";

/// A request that is sent unchanged.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    host: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Status text.
    pub reason: String,
    /// Header lines in order.
    pub headers: Headers,
    /// The body without its transfer coding.
    pub body: Bytes,
}

/// A response whose body is still arriving.
pub struct Incoming {
    /// Status code.
    pub status: u16,
    /// Status text.
    pub reason: String,
    /// Header lines in order.
    pub headers: Headers,
    wire: Wire,
    framing: Framing,
}

/// A request whose body is still being sent.
pub struct Upload {
    connection: Connection,
    method: String,
}

/// The address to send requests to.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    addr: SocketAddr,
    from: IpAddr,
}

/// One persistent connection.
pub struct Connection {
    pub(crate) wire: Wire,
}

impl Request {
    /// Creates a request. `target` is written into the request line unchanged.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: HOST.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Creates a GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Creates a POST with a body of known length.
    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Sets another public host than [`HOST`].
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body and its `Content-Length`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// Formats the head as it is sent.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, "{name}: {value}\r\n"))?;
        if let Some(body) = &self.body {
            write!(f, "Content-Length: {}\r\n", body.len())?;
        }
        f.write_str("\r\n")
    }
}

impl Response {
    /// Returns the first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// Returns the value of `X-Served-By`.
    pub fn served_by(&self) -> &str {
        self.header("X-Served-By").unwrap_or("(no X-Served-By)")
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Creates a client of an address.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, from: Ipv4Addr::LOCALHOST.into() }
    }

    /// Sets the local address to connect from.
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        self.from = address.into();
        self
    }

    /// Returns the address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.expect("the target listens")
    }

    /// Opens a connection, or returns why this failed.
    pub async fn try_connect(&self) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = within("the target to accept", socket.connect(self.addr)).await?;
        Ok(Connection { wire: Wire::new(stream) })
    }

    /// Sends a GET and reads the complete response.
    pub async fn get(&self, target: &str) -> Response {
        self.send(Request::get(target)).await
    }

    /// Sends a POST and reads the complete response.
    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Response {
        self.send(Request::post(target, body)).await
    }

    /// Sends a request on a new connection and reads the complete response.
    pub async fn send(&self, request: Request) -> Response {
        let response = self.open(request).await.complete().await;
        response.expect("a complete response")
    }

    /// Sends a request and reads only the head of the response.
    pub async fn open(&self, request: Request) -> Incoming {
        self.connect().await.open(&request).await.expect("the head of a response")
    }

    /// Sends a head with a `Content-Length` of `bytes`. The caller sends the body.
    pub async fn upload(&self, request: Request, bytes: u64) -> Upload {
        self.start_upload(request.header("Content-Length", &bytes.to_string())).await
    }

    /// Sends a head with chunked transfer coding. The caller sends the chunks.
    pub async fn chunked_upload(&self, request: Request) -> Upload {
        self.start_upload(request.header("Transfer-Encoding", "chunked")).await
    }

    async fn start_upload(&self, request: Request) -> Upload {
        let mut connection = self.connect().await;
        connection.wire.send(request.to_string()).await.expect("the target takes the head");
        Upload { connection, method: request.method }
    }
}

impl Connection {
    /// Sends a request and reads the complete response. The connection can be used again.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        let (head, status, reason) = self.exchange(request).await?;
        let mut framing = head.response_framing(&request.method, status);
        let body = rest(&mut self.wire, &mut framing).await?;
        Ok(Response { status, reason, headers: head.headers, body })
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the target to take bytes", self.wire.send(bytes)).await
    }

    /// Reads until the peer closes or resets the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        while let Ok(Some(piece)) = within("the end of the connection", self.wire.piece(&mut Framing::UntilClose)).await
        {
            bytes.extend_from_slice(&piece);
        }
        bytes.into_iter().map(char::from).collect()
    }

    /// Reads the next head and returns its first line.
    pub async fn read_first_line(&mut self) -> String {
        let head = within("a head", self.wire.head()).await;
        head.ok().flatten().map(|head| head.first_line).unwrap_or_default()
    }

    /// Disconnects as a closed browser tab does. This is a reset, because after a close the
    /// response could continue.
    pub fn disconnect(self) {
        self.wire.reset();
    }

    async fn open(mut self, request: &Request) -> io::Result<Incoming> {
        self.exchange(request).await.map(|head| self.incoming(&request.method, head))
    }

    fn incoming(self, method: &str, (head, status, reason): (Head, u16, String)) -> Incoming {
        let framing = head.response_framing(method, status);
        Incoming { status, reason, headers: head.headers, wire: self.wire, framing }
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<(Head, u16, String)> {
        self.wire.send(request.to_string()).await?;
        if let Some(body) = &request.body {
            self.wire.send(body).await?;
        }
        self.final_head(&format!("{} {}", request.method, request.target)).await
    }

    /// Reads the head of the response, skipping interim ones.
    async fn final_head(&mut self, request: &str) -> io::Result<(Head, u16, String)> {
        loop {
            let head = within(&format!("a response to {request}"), self.wire.head()).await?;
            let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut words = head.first_line.splitn(3, ' ').skip(1).map(str::to_owned);
            let status = words.next().and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            let reason = words.next().unwrap_or_default();
            if status >= 200 || status == 101 {
                return Ok((head, status, reason));
            }
        }
    }
}

impl Incoming {
    /// Reads the next piece of the body as soon as it arrives. `None` at the end.
    pub async fn piece(&mut self) -> Option<Bytes> {
        self.try_piece().await.expect("the body continues")
    }

    /// Reads the next piece of the body, or returns why the connection broke.
    pub async fn try_piece(&mut self) -> io::Result<Option<Bytes>> {
        within("a piece of the body", self.wire.piece(&mut self.framing)).await
    }

    /// Reads until the body so far ends with `end`. Returns the bytes as text.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let piece = self.piece().await.unwrap_or_else(|| panic!("the body ended at {text:?}, without {end:?}"));
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    }

    /// Disconnects in the middle of the body.
    pub fn disconnect(self) {
        self.wire.reset();
    }

    /// Returns the connection, for another protocol.
    pub(crate) fn upgrade(self) -> (Headers, Wire) {
        (self.headers, self.wire)
    }

    /// Reads the rest of the body.
    pub async fn complete(mut self) -> io::Result<Response> {
        let body = rest(&mut self.wire, &mut self.framing).await?;
        Ok(Response { status: self.status, reason: self.reason, headers: self.headers, body })
    }
}

impl Upload {
    /// Sends a piece of the body.
    pub async fn piece(&mut self, piece: impl AsRef<[u8]>) {
        within("the target to take a piece of the upload", self.connection.wire.send(piece))
            .await
            .expect("an open upload");
    }

    /// Sends a chunk. An empty one ends the body.
    pub async fn chunk(&mut self, chunk: &str) {
        let sent = self.connection.wire.send_chunk(chunk.as_bytes());
        within("the target to take a chunk of the upload", sent).await.expect("an open upload");
    }

    /// Disconnects in the middle of the upload.
    pub fn disconnect(self) {
        self.connection.disconnect();
    }

    /// Reads the response.
    pub async fn response(mut self) -> Response {
        let head = self.connection.final_head("the upload").await.expect("the head of a response");
        let incoming = self.connection.incoming(&self.method, head);
        incoming.complete().await.expect("a complete response")
    }
}

async fn rest(wire: &mut Wire, framing: &mut Framing) -> io::Result<Bytes> {
    let mut body = Vec::new();
    while let Some(piece) = within("the rest of the body", wire.piece(framing)).await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}
