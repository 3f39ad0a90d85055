//! A WebSocket client and server that follow a script.
//!
//! Whether an intermediary is transparent is visible only at both ends. A script defines the
//! actions of each end, and its result is a [`Transcript`] of everything that each end received.
//! The same script runs directly and through a target, and the transcripts are compared.
//!
//! After each turn, the acting end sends a mark and waits until it is returned. A WebSocket keeps
//! the order of messages, so everything before the mark has arrived and has been recorded by then.
//! This makes transcripts reproducible.

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

/// The actions of the two ends.
#[derive(Clone, Debug)]
pub struct Script {
    /// The name, unique in a suite.
    pub name: String,
    offer: Vec<(&'static str, &'static str)>,
    accept: Vec<(&'static str, &'static str)>,
    rejection: Option<u16>,
    turns: Vec<(Side, Vec<Action>)>,
    ending: (Side, Vec<Action>),
}

/// The end that acts in a turn.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// The client. The server responds only to pings and closes.
    Client,
    /// The server.
    Server,
    /// Both at the same time.
    Both,
}

/// One action of an end.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends a message or a valid frame.
    Send(Message),
    /// Sends bytes that the library would reject.
    Bytes(Vec<u8>),
    /// Closes its half of the connection without a close frame.
    Leave,
    /// Resets the connection.
    Reset,
}

/// Everything that each end received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The client.
    pub client: Vec<String>,
    /// The server.
    pub server: Vec<String>,
}

/// The text that is sent after a turn. It is not recorded.
const MARK: &str = "\u{1}mark";

/// The headers of a handshake that a transcript contains.
const NEGOTIATED: [&str; 2] = ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];

// === impl Script ===

impl Script {
    /// Creates a script in which the client closes the session.
    pub fn new(name: impl Into<String>) -> Self {
        let ending = (Side::Client, vec![close(1000, "done")]);
        let (offer, accept, turns) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), offer, accept, rejection: None, turns, ending }
    }

    /// Adds a header of the client to the handshake.
    pub fn offer(mut self, name: &'static str, value: &'static str) -> Self {
        self.offer.push((name, value));
        self
    }

    /// Adds a header of the server to its 101.
    pub fn accept(mut self, name: &'static str, value: &'static str) -> Self {
        self.accept.push((name, value));
        self
    }

    /// Makes the server reject the handshake with a status.
    pub fn refuse(mut self, status: u16) -> Self {
        self.rejection = Some(status);
        self
    }

    /// Adds a turn.
    pub fn turn(mut self, side: Side, actions: impl Into<Vec<Action>>) -> Self {
        self.turns.push((side, actions.into()));
        self
    }

    /// Sets the last turn, after which both ends wait for the end of the session.
    pub fn ending(mut self, side: Side, actions: impl Into<Vec<Action>>) -> Self {
        self.ending = (side, actions.into());
        self
    }
}

// === impl Peers ===

impl Peers {
    /// Starts the server on a free port.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback") }
    }

    /// Returns a client that connects to the server directly.
    pub fn client(&self) -> Client {
        Client::new(self.listener.local_addr().expect("a bound listener"))
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.client().addr())
    }

    /// Runs a script between this server and a client.
    pub async fn run(&self, script: &Script, client: Client) -> Transcript {
        let request =
            script.offer.iter().fold(Request::get("/socket"), |request, (name, value)| request.header(name, value));
        let (outcome, (mut server_observed, server)) = tokio::join!(client.websocket(request), self.accept(script));
        let (mut client, server) = match (outcome, server) {
            (Ok(socket), Some(server)) => {
                let lines = negotiated(&socket.headers);
                (End::new(socket.into_stream(), lines), End::new(server, server_observed))
            }
            (Ok(_), None) => panic!("the client has a session that the server rejected"),
            (Err(response), server) => {
                if server.is_some() {
                    server_observed.push("the server has a session that the client does not have".to_owned());
                }
                return Transcript {
                    client: vec![format!("{} {}", response.status, response.text())],
                    server: server_observed,
                };
            }
        };
        let mut server = server;
        for (side, actions) in &script.turns {
            match side {
                Side::Client => tokio::join!(client.take_turn(actions), server.listen()),
                Side::Server => tokio::join!(server.take_turn(actions), client.listen()),
                Side::Both => tokio::join!(client.take_turn(actions), server.take_turn(actions)),
            };
        }
        let (side, actions) = &script.ending;
        match side {
            Side::Client => tokio::join!(client.finish(actions), server.finish(&[])),
            Side::Server => tokio::join!(client.finish(&[]), server.finish(actions)),
            Side::Both => tokio::join!(client.finish(actions), server.finish(actions)),
        };
        Transcript { client: client.observed, server: server.observed }
    }

    async fn accept(&self, script: &Script) -> (Vec<String>, Option<WebSocketStream<TcpStream>>) {
        let (stream, _) = within("a handshake", self.listener.accept()).await.expect("an open listener");
        let mut wire = Wire::new(stream);
        let head = within("the head of a handshake", wire.head()).await.expect("a connection").expect("a request");
        let observed = negotiated(&head.headers);
        if let Some(status) = script.rejection {
            wire.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"))
                .await
                .expect("an open connection");
            return (observed, None);
        }
        let key = head.headers.first("Sec-WebSocket-Key").expect("a key");
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            derive_accept_key(key.as_bytes())
        );
        for (name, value) in &script.accept {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.send(head + "\r\n").await.expect("an open connection");
        let (stream, ahead) = wire.into_parts();
        (observed, Some(WebSocketStream::from_partially_read(stream, ahead, Role::Server, None).await))
    }
}

fn negotiated(headers: &Headers) -> Vec<String> {
    let lines = |name| headers.every(name).map(move |value| format!("{name}: {value}"));
    NEGOTIATED.into_iter().flat_map(lines).collect()
}

/// One end of a running script.
struct End {
    /// `None` after a reset.
    socket: Option<WebSocketStream<TcpStream>>,
    observed: Vec<String>,
    over: bool,
}

impl End {
    fn new(socket: WebSocketStream<TcpStream>, observed: Vec<String>) -> Self {
        Self { socket: Some(socket), observed, over: false }
    }

    /// Runs its own turn: acts, sends the mark, and receives until the mark is returned.
    async fn take_turn(&mut self, actions: &[Action]) {
        for action in actions {
            self.perform(action).await;
        }
        self.perform(&text(MARK)).await;
        self.receive(true).await;
    }

    /// Runs the turn of the other end: receives until the mark, and returns it.
    async fn listen(&mut self) {
        self.receive(true).await;
        self.perform(&text(MARK)).await;
    }

    /// Runs the last turn: acts, and receives until the session is over.
    async fn finish(&mut self, actions: &[Action]) {
        for action in actions {
            self.perform(action).await;
        }
        self.receive(false).await;
    }

    async fn perform(&mut self, action: &Action) {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.over) else { return };
        // A failed send is visible in the transcript of the other end.
        match action {
            Action::Send(message) => {
                let _ = within("a peer to take a message", socket.send(message.clone())).await;
            }
            Action::Bytes(bytes) => {
                let _ = within("a peer to take bytes", socket.get_mut().write_all(bytes)).await;
            }
            Action::Leave => {
                let _ = socket.get_mut().shutdown().await;
            }
            Action::Reset => {
                let _ = socket.get_ref().set_zero_linger();
                self.socket = None;
                self.over = true;
                self.observed.push("reset by this end".to_owned());
            }
        }
    }

    async fn receive(&mut self, until_mark: bool) {
        while let Some(socket) = self.socket.as_mut().filter(|_| !self.over) {
            match within("a message of the peer", socket.next()).await {
                Some(Ok(Message::Text(word))) if until_mark && word == MARK => return,
                Some(Ok(message)) => self.observed.push(line(&message)),
                ended => {
                    self.observed.push(end(socket, ended.and_then(Result::err)).await);
                    self.over = true;
                }
            }
        }
    }
}

/// Ends the connection as RFC 6455 requires. Returns the reason.
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
    // The rest is read after the shutdown, because a close with unread bytes would be a reset,
    // which could overtake the frame.
    let stream = socket.get_mut();
    let _ = stream.shutdown().await;
    let mut rest = [0; 4096];
    while let Ok(1..) = within("the end of a connection", stream.read(&mut rest)).await {}
    line
}

const BROKEN: &str = "connection lost";

/// The message of the library for a connection that ends without a close frame.
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

// === actions ===

/// Sends a text message.
pub fn text(word: impl Into<String>) -> Action {
    Action::Send(Message::text(word.into()))
}

/// Sends a binary message.
pub fn binary(bytes: impl Into<Vec<u8>>) -> Action {
    Action::Send(Message::binary(bytes.into()))
}

/// Sends a ping.
pub fn ping(payload: impl Into<Vec<u8>>) -> Action {
    Action::Send(Message::Ping(payload.into().into()))
}

/// Sends an unsolicited pong.
pub fn pong(payload: impl Into<Vec<u8>>) -> Action {
    Action::Send(Message::Pong(payload.into().into()))
}

/// Closes with a code.
pub fn close(code: u16, reason: &str) -> Action {
    Action::Send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() })))
}

/// Closes without a code.
pub fn close_empty() -> Action {
    Action::Send(Message::Close(None))
}

/// Sends the first frame of a text message.
pub fn first_frame(word: &str) -> Action {
    fragment(Data::Text, word, false)
}

/// Sends a frame in the middle of a message.
pub fn middle_frame(word: &str) -> Action {
    fragment(Data::Continue, word, false)
}

/// Sends the last frame of a message.
pub fn last_frame(word: &str) -> Action {
    fragment(Data::Continue, word, true)
}

fn fragment(kind: Data, word: &str, last: bool) -> Action {
    Action::Send(Message::Frame(Frame::message(word.as_bytes().to_vec(), OpCode::Data(kind), last)))
}

/// Sends a frame with any first byte (FIN, reserved bits, opcode), valid or not. Its mask is zero,
/// so the payload stays readable.
pub fn frame(first: u8, masked: bool, payload: &[u8]) -> Action {
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
    Action::Bytes(bytes)
}
