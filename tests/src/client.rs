//! A client that sends what it is told, byte for byte, and shows what came back, untouched.
//!
//! An ordinary HTTP client would repair `GET //other-host/x`, decode gzip, follow redirects and
//! join two `Set-Cookie`; the cases are about these. Each call of [`Client`] uses a connection of
//! its own; [`Connection`] keeps one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::{fmt, io};

use bytes::Bytes;
use tokio::net::TcpSocket;

use crate::wire::{Framing, Head, Headers, Wire};
use crate::within;

/// The public host of the cases: what a request says in `Host` unless told otherwise.
pub const HOST: &str = "app.test";

/// A request to be sent as it stands.
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
    /// The body, transfer coding removed and nothing else.
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

/// Where to send requests.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    addr: SocketAddr,
    from: IpAddr,
}

/// One kept connection.
pub struct Connection {
    pub(crate) wire: Wire,
}

impl Request {
    /// A request with any method. `target` goes into the request line as it is.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: HOST.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a body of known length.
    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// To another public host than [`HOST`].
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// With one more header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body and its `Content-Length`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// The head as it is sent.
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
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// The name of the server that answered, as the balancer tells it.
    pub fn served_by(&self) -> &str {
        self.header("X-Served-By").unwrap_or("(no X-Served-By)")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client of whoever listens at `addr`.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, from: Ipv4Addr::LOCALHOST.into() }
    }

    /// The same from another address of this machine.
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        self.from = address.into();
        self
    }

    /// Where it connects to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.expect("the target listens")
    }

    /// Opens a connection, where it may be refused.
    pub async fn try_connect(&self) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = within("the target to accept", socket.connect(self.addr)).await?;
        Ok(Connection { wire: Wire::new(stream) })
    }

    /// GET, complete response.
    pub async fn get(&self, target: &str) -> Response {
        self.send(Request::get(target)).await
    }

    /// POST, complete response.
    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Response {
        self.send(Request::post(target, body)).await
    }

    /// Sends a request on a connection of its own and reads the complete response.
    pub async fn send(&self, request: Request) -> Response {
        let response = self.open(request).await.complete().await;
        response.expect("a complete response")
    }

    /// Sends a request and reads the head of the response only.
    pub async fn open(&self, request: Request) -> Incoming {
        self.connect().await.open(&request).await.expect("the head of a response")
    }

    /// Sends a head that announces a body of `bytes`; the body is up to the caller.
    pub async fn upload(&self, request: Request, bytes: u64) -> Upload {
        self.begin(request.header("Content-Length", &bytes.to_string())).await
    }

    /// Sends a head that announces a body in chunks; the chunks are up to the caller.
    pub async fn chunked_upload(&self, request: Request) -> Upload {
        self.begin(request.header("Transfer-Encoding", "chunked")).await
    }

    async fn begin(&self, request: Request) -> Upload {
        let mut connection = self.connect().await;
        connection.wire.send(request.to_string()).await.expect("the target takes the head");
        Upload { connection, method: request.method }
    }
}

impl Connection {
    /// Sends a request and reads the complete response; the connection can be used again.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        let (head, status, reason) = self.ask(request).await?;
        let mut framing = head.response_framing(&request.method, status);
        let body = rest(&mut self.wire, &mut framing).await?;
        Ok(Response { status, reason, headers: head.headers, body })
    }

    /// Sends bytes as they are.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the target to take bytes", self.wire.send(bytes)).await
    }

    /// Everything that comes until the other side closes or resets the connection.
    pub async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        while let Ok(Some(piece)) = within("the end of the connection", self.wire.piece(&mut Framing::UntilClose)).await
        {
            heard.extend_from_slice(&piece);
        }
        heard.into_iter().map(char::from).collect()
    }

    /// The first line of the next head.
    pub async fn hear_head(&mut self) -> String {
        let head = within("a head", self.wire.head()).await;
        head.ok().flatten().map(|head| head.first_line).unwrap_or_default()
    }

    /// Leaves as a closed browser tab does. A reset, because a proper close would allow the answer
    /// to go on.
    pub fn leave(self) {
        self.wire.reset();
    }

    async fn open(mut self, request: &Request) -> io::Result<Incoming> {
        self.ask(request).await.map(|answer| self.incoming(&request.method, answer))
    }

    fn incoming(self, method: &str, (head, status, reason): (Head, u16, String)) -> Incoming {
        let framing = head.response_framing(method, status);
        Incoming { status, reason, headers: head.headers, wire: self.wire, framing }
    }

    async fn ask(&mut self, request: &Request) -> io::Result<(Head, u16, String)> {
        self.wire.send(request.to_string()).await?;
        if let Some(body) = &request.body {
            self.wire.send(body).await?;
        }
        self.answer(&format!("{} {}", request.method, request.target)).await
    }

    async fn answer(&mut self, question: &str) -> io::Result<(Head, u16, String)> {
        loop {
            let head = within(&format!("an answer to {question}"), self.wire.head()).await?;
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
    /// The next piece of the body, as soon as it arrives; `None` at the end.
    pub async fn piece(&mut self) -> Option<Bytes> {
        self.try_piece().await.expect("the body goes on")
    }

    /// The next piece of the body; an error if the connection broke in the middle.
    pub async fn try_piece(&mut self) -> io::Result<Option<Bytes>> {
        within("a piece of the body", self.wire.piece(&mut self.framing)).await
    }

    /// Reads on until the body so far ends with `end`; returns what was read.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let piece = self.piece().await.unwrap_or_else(|| panic!("the body ended at {text:?}, without {end:?}"));
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    }

    /// Leaves in the middle of the body.
    pub fn leave(self) {
        self.wire.reset();
    }

    /// The connection, for another protocol.
    pub(crate) fn upgrade(self) -> (Headers, Wire) {
        (self.headers, self.wire)
    }

    /// Reads the rest.
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

    /// Sends a chunk; an empty one ends the body.
    pub async fn chunk(&mut self, chunk: &str) {
        let sent = self.connection.wire.send_chunk(chunk.as_bytes());
        within("the target to take a chunk of the upload", sent).await.expect("an open upload");
    }

    /// Leaves in the middle of the upload.
    pub fn leave(self) {
        self.connection.leave();
    }

    /// Reads the answer.
    pub async fn answer(mut self) -> Response {
        let answer = self.connection.answer("the upload").await.expect("the head of a response");
        let incoming = self.connection.incoming(&self.method, answer);
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
