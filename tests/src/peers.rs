//! Both ends of a WebSocket in one hand.
//!
//! Whether something between two peers is transparent shows only when both are asked what they saw.
//! So here a script says what each end does, and its outcome is a [`Transcript`]: everything that
//! the client saw, and everything that the server saw, one line each. The same script runs directly
//! and through a target, and the transcripts are compared whole.
//!
//! After each turn the end that acted sends a mark and waits until it comes back: order is kept on
//! a WebSocket, so by then everything it sent has arrived, been answered, and been written down.
//! That is what makes transcripts repeatable.

use std::fmt;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, Request};
use crate::digest::Digest;
use crate::wire::{Headers, Wire};
use crate::within;

/// A server that takes part in scripts.
pub struct Peers {
    listener: TcpListener,
}

/// What the two ends do.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, unique in a suite.
    pub name: String,
    offer: Vec<(&'static str, &'static str)>,
    accept: Vec<(&'static str, &'static str)>,
    rejection: Option<u16>,
    turns: Vec<(Who, Vec<Act>)>,
    ending: (Who, Vec<Act>),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The client's. The server answers pings and closes, and nothing else.
    Client,
    /// The server's.
    Server,
    /// Both act at the same time.
    Both,
}

/// One thing that an end does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends a message, or a sound frame.
    Send(Message),
    /// Sends bytes that the library would refuse to send.
    Bytes(Vec<u8>),
    /// Closes its half of the connection without a word.
    Leave,
    /// Resets the connection.
    Reset,
}

/// What each end saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The client.
    pub client: Vec<String>,
    /// The server.
    pub server: Vec<String>,
}

/// What is sent after a turn, and not written down.
const MARK: &str = "\u{1}mark";

/// What a transcript tells of a handshake.
const NEGOTIATED: [&str; 2] = ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];

// === impl Script ===

impl Script {
    /// A script in which nothing happens before the client closes.
    pub fn new(name: impl Into<String>) -> Self {
        let ending = (Who::Client, vec![close(1000, "done")]);
        let (offer, accept, turns) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), offer, accept, rejection: None, turns, ending }
    }

    /// The client sends this header in the handshake.
    pub fn offer(mut self, name: &'static str, value: &'static str) -> Self {
        self.offer.push((name, value));
        self
    }

    /// The server sends this header with its 101.
    pub fn accept(mut self, name: &'static str, value: &'static str) -> Self {
        self.accept.push((name, value));
        self
    }

    /// The server answers the handshake with this status.
    pub fn refuse(mut self, status: u16) -> Self {
        self.rejection = Some(status);
        self
    }

    /// A turn.
    pub fn turn(mut self, who: Who, acts: impl Into<Vec<Act>>) -> Self {
        self.turns.push((who, acts.into()));
        self
    }

    /// The last turn, after which both ends wait for the end of the session.
    pub fn ending(mut self, who: Who, acts: impl Into<Vec<Act>>) -> Self {
        self.ending = (who, acts.into());
        self
    }
}

// === impl Peers ===

impl Peers {
    /// Starts the server on a free port.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback") }
    }

    /// A client that reaches the server directly.
    pub fn client(&self) -> Client {
        Client::new(self.listener.local_addr().expect("a bound listener"))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.client().addr())
    }

    /// Runs a script between this server and a client.
    pub async fn run(&self, script: &Script, client: Client) -> Transcript {
        let request =
            script.offer.iter().fold(Request::get("/socket"), |request, (name, value)| request.header(name, value));
        let (outcome, (mut server_saw, server)) = tokio::join!(client.websocket(request), self.accept(script));
        let (mut client, server) = match (outcome, server) {
            (Ok(socket), Some(server)) => {
                let lines = negotiated(&socket.headers);
                (End::new(socket.into_stream(), lines), End::new(server, server_saw))
            }
            (Ok(_), None) => panic!("a session that the server refused"),
            (Err(response), server) => {
                if server.is_some() {
                    server_saw.push("a session that the client does not have".to_owned());
                }
                return Transcript {
                    client: vec![format!("{} {}", response.status, response.text())],
                    server: server_saw,
                };
            }
        };
        let mut server = server;
        for (who, acts) in &script.turns {
            match who {
                Who::Client => tokio::join!(client.speak(acts), server.listen()),
                Who::Server => tokio::join!(server.speak(acts), client.listen()),
                Who::Both => tokio::join!(client.speak(acts), server.speak(acts)),
            };
        }
        let (who, acts) = &script.ending;
        match who {
            Who::Client => tokio::join!(client.finish(acts), server.finish(&[])),
            Who::Server => tokio::join!(client.finish(&[]), server.finish(acts)),
            Who::Both => tokio::join!(client.finish(acts), server.finish(acts)),
        };
        Transcript { client: client.saw, server: server.saw }
    }

    async fn accept(&self, script: &Script) -> (Vec<String>, Option<WebSocketStream<TcpStream>>) {
        let (stream, _) = within("a handshake", self.listener.accept()).await.expect("a sound listener");
        let mut wire = Wire::new(stream);
        let head = within("the head of a handshake", wire.head()).await.expect("a connection").expect("a request");
        let saw = negotiated(&head.headers);
        if let Some(status) = script.rejection {
            wire.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"))
                .await
                .expect("an open connection");
            return (saw, None);
        }
        let key = head.headers.first("Sec-WebSocket-Key").expect("a key");
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            derive_accept_key(key.as_bytes())
        );
        for (name, value) in &script.accept {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.send(answer + "\r\n").await.expect("an open connection");
        let (stream, ahead) = wire.into_parts();
        (saw, Some(WebSocketStream::from_partially_read(stream, ahead, Role::Server, None).await))
    }
}

fn negotiated(headers: &Headers) -> Vec<String> {
    let lines = |name| headers.every(name).map(move |value| format!("{name}: {value}"));
    NEGOTIATED.into_iter().flat_map(lines).collect()
}

/// One end at work.
struct End {
    /// `None` once it has left.
    socket: Option<WebSocketStream<TcpStream>>,
    saw: Vec<String>,
    over: bool,
}

impl End {
    fn new(socket: WebSocketStream<TcpStream>, saw: Vec<String>) -> Self {
        Self { socket: Some(socket), saw, over: false }
    }

    /// Its own turn: acts, sends the mark, and hears until the mark is back.
    async fn speak(&mut self, acts: &[Act]) {
        for act in acts {
            self.act(act).await;
        }
        self.act(&text(MARK)).await;
        self.hear(true).await;
    }

    /// The other's turn: hears until the mark, and gives it back.
    async fn listen(&mut self) {
        self.hear(true).await;
        self.act(&text(MARK)).await;
    }

    /// The last turn: acts, and hears until the session is over.
    async fn finish(&mut self, acts: &[Act]) {
        for act in acts {
            self.act(act).await;
        }
        self.hear(false).await;
    }

    async fn act(&mut self, act: &Act) {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.over) else { return };
        // What cannot be sent any more shows in what the other end saw.
        match act {
            Act::Send(message) => {
                let _ = within("a peer to take a message", socket.send(message.clone())).await;
            }
            Act::Bytes(bytes) => {
                let _ = within("a peer to take bytes", socket.get_mut().write_all(bytes)).await;
            }
            Act::Leave => {
                let _ = socket.get_mut().shutdown().await;
            }
            Act::Reset => {
                let _ = socket.get_ref().set_zero_linger();
                self.socket = None;
                self.over = true;
                self.saw.push("left".to_owned());
            }
        }
    }

    async fn hear(&mut self, until_mark: bool) {
        while let Some(socket) = self.socket.as_mut().filter(|_| !self.over) {
            match within("a peer's next word", socket.next()).await {
                Some(Ok(Message::Text(word))) if until_mark && word == MARK => return,
                Some(Ok(message)) => self.saw.push(line(&message)),
                ended => {
                    self.saw.push(end(socket, ended.and_then(Result::err)).await);
                    self.over = true;
                }
            }
        }
    }
}

/// Ends the connection as RFC 6455 wants it, and says why it ended.
async fn end(socket: &mut WebSocketStream<TcpStream>, error: Option<Error>) -> String {
    let (line, code) = match error {
        None | Some(Error::ConnectionClosed | Error::AlreadyClosed) => ("end".to_owned(), None),
        Some(Error::Io(_)) => (BROKEN.to_owned(), None),
        Some(error @ Error::Utf8(_)) => (format!("violation: {error}"), Some(1007)),
        Some(error) if error.to_string() == RESET => (BROKEN.to_owned(), None),
        Some(error) => (format!("violation: {error}"), Some(1002)),
    };
    if let Some(code) = code {
        let frame = CloseFrame { code: u16::into(code), reason: "violation".into() };
        let _ = within("a peer to take a close", socket.send(Message::Close(Some(frame)))).await;
    }
    // Its own half is closed, and the rest is read: a close with unread bytes would be a reset, and
    // could overtake the frame.
    let stream = socket.get_mut();
    let _ = stream.shutdown().await;
    let mut rest = [0; 4096];
    while let Ok(1..) = within("the end of a connection", stream.read(&mut rest)).await {}
    line
}

const BROKEN: &str = "broken off";

/// How the library calls a connection that ends without a close frame.
const RESET: &str = "WebSocket protocol error: Connection reset without closing handshake";

fn line(message: &Message) -> String {
    let short = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match message {
        Message::Text(word) if word.len() <= 20 => format!("text {:?}", word.as_str()),
        Message::Text(word) => format!("text of {}", Digest::of(word.as_bytes())),
        Message::Binary(bytes) => format!("binary of {}", Digest::of(bytes)),
        Message::Ping(bytes) => format!("ping {:?}", short(bytes)),
        Message::Pong(bytes) => format!("pong {:?}", short(bytes)),
        Message::Close(Some(frame)) => format!("close {} {:?}", u16::from(frame.code), frame.reason.as_str()),
        Message::Close(None) => "close".to_owned(),
        Message::Frame(frame) => format!("frame {frame:?}"),
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client: {:?}; server: {:?}", self.client, self.server)
    }
}

// === acts ===

/// Sends a text.
pub fn text(word: impl Into<String>) -> Act {
    Act::Send(Message::text(word.into()))
}

/// Sends a binary message.
pub fn binary(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Send(Message::binary(bytes.into()))
}

/// Sends a ping.
pub fn ping(payload: impl Into<Vec<u8>>) -> Act {
    Act::Send(Message::Ping(payload.into().into()))
}

/// Sends a pong that nobody asked for.
pub fn pong(payload: impl Into<Vec<u8>>) -> Act {
    Act::Send(Message::Pong(payload.into().into()))
}

/// Closes with a code.
pub fn close(code: u16, reason: &str) -> Act {
    Act::Send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() })))
}

/// Closes without a code.
pub fn close_empty() -> Act {
    Act::Send(Message::Close(None))
}

/// Sends the first frame of a text that goes on.
pub fn begin(word: &str) -> Act {
    fragment(Data::Text, word, false)
}

/// Sends a frame in the middle of a message.
pub fn go_on(word: &str) -> Act {
    fragment(Data::Continue, word, false)
}

/// Sends the last frame of a message.
pub fn finish(word: &str) -> Act {
    fragment(Data::Continue, word, true)
}

fn fragment(kind: Data, word: &str, last: bool) -> Act {
    Act::Send(Message::Frame(Frame::message(word.as_bytes().to_vec(), OpCode::Data(kind), last)))
}

/// Sends a frame of any first byte (FIN, reserved bits, opcode), sound or not. A mask of zeros
/// leaves the payload readable.
pub fn frame(first: u8, masked: bool, payload: &[u8]) -> Act {
    assert!(payload.len() < 1 << 16, "a payload with a length in 7 or 16 bits");
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ ..=125) => bytes.push(mask_bit | length),
        _ => {
            bytes.push(mask_bit | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend(masked.then_some([0; 4]).into_iter().flatten());
    bytes.extend(payload);
    Act::Bytes(bytes)
}
