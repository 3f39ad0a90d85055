//! HTTP/1.1 messages as bytes on a socket, for both ends.
//!
//! HTTP libraries change header names, join and sort headers, reject unusual paths and hide resets.
//! The suite has to observe all of these, so the client and the servers read and write messages
//! themselves. Bytes are decoded as Latin-1, one character per byte, so that none is lost.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection: a socket and the bytes that were read ahead.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    /// The trailer lines of the last chunked body.
    trailers: Vec<String>,
}

/// The first line and the headers of a message, in their order, with duplicates and letter case.
#[derive(Clone, Debug)]
pub struct Head {
    /// Request line or status line.
    pub first_line: String,
    /// All header lines.
    pub headers: Headers,
}

/// Header lines in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The number of remaining bytes.
    Length(u64),
    /// Chunks. The number of remaining bytes of the current one.
    Chunked(u64),
    /// The body ends when the connection closes.
    UntilClose,
    /// The body is complete.
    Done,
}

impl Wire {
    /// Wraps a new connection.
    pub fn new(stream: TcpStream) -> Self {
        // Messages are small and alternate, so waiting for a full packet would be slow.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: BytesMut::with_capacity(16 * 1024), trailers: Vec::new() }
    }

    /// Reads the next head. `None` if the peer closed before the first byte.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let text = latin1(&self.buffer.split_to(end + 4));
                return Ok(Some(Head::parse(&text)));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads the next piece of a body as soon as it arrives. `None` at its end.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        if *framing == Framing::Chunked(0) {
            *framing = self.next_chunk().await?;
        }
        let limit = match *framing {
            Framing::Done | Framing::Length(0) => {
                *framing = Framing::Done;
                return Ok(None);
            }
            Framing::Length(left) | Framing::Chunked(left) => left,
            Framing::UntilClose => u64::MAX,
        };
        if self.buffer.is_empty() && self.fill().await? == 0 {
            if *framing != Framing::UntilClose {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *framing = Framing::Done;
            return Ok(None);
        }
        let size = limit.min(self.buffer.len() as u64);
        let piece = self.buffer.split_to(size as usize).freeze();
        match framing {
            Framing::Length(left) => *left -= size,
            Framing::Chunked(left) => {
                *left -= size;
                if *left == 0 {
                    self.line().await?; // the empty line after a chunk
                }
            }
            Framing::UntilClose | Framing::Done => {}
        }
        Ok(Some(piece))
    }

    /// Takes the trailer lines of the last body.
    pub fn take_trailers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trailers)
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends one chunk. An empty one ends the body.
    pub async fn send_chunk(&mut self, data: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk).await
    }

    /// Waits until the peer has closed or reset the connection.
    pub async fn until_closed(&mut self) {
        while let Ok(1..) = self.fill().await {}
    }

    /// Ends the connection with a reset (RST), as a crashed program does.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Returns the socket and the bytes that were read ahead, for another protocol.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer.to_vec())
    }

    async fn next_chunk(&mut self) -> io::Result<Framing> {
        let line = self.line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16) {
            Ok(0) => {
                self.trailers.clear();
                loop {
                    let line = self.line().await?;
                    if line.is_empty() {
                        return Ok(Framing::Done);
                    }
                    self.trailers.push(line);
                }
            }
            Ok(size) => Ok(Framing::Chunked(size)),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("invalid chunk size: {line:?}"))),
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = latin1(&self.buffer.split_to(end));
                self.buffer.advance(2);
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(16 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        });
        Self { first_line, headers: Headers(headers.collect()) }
    }

    /// Returns the framing of the body of this request.
    pub fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::Done)
    }

    /// Returns the framing of the body of this response with `status` to a `method` request.
    pub fn response_framing(&self, method: &str, status: u16) -> Framing {
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if bodiless { Framing::Done } else { self.framing().unwrap_or(Framing::UntilClose) }
    }

    fn framing(&self) -> Option<Framing> {
        if self.headers.first("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked(0));
        }
        self.headers.first("content-length")?.parse().ok().map(Framing::Length)
    }
}

impl Headers {
    /// Returns the first value of `name`, in any letter case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.every(name).next()
    }

    /// Returns all values of `name`, in order.
    pub fn every(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
