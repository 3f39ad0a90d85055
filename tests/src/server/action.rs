//! The ways a server can answer, or fail to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::{Seen, Shared, websocket};
use crate::digest::made_up;
use crate::gate::Gate;
use crate::wire::Wire;

/// What a server does with a request. Except for `Late` nothing depends on the clock.
#[derive(Clone, Debug, Default)]
pub enum Answer {
    /// 200 with a text that describes the request, as a friendly application would.
    #[default]
    Echo,
    /// A fixed answer.
    Reply(Reply),
    /// These bytes, and the end of the connection.
    Raw(Bytes),
    /// Reads the request and never answers.
    Hang,
    /// Answers once the gate is open.
    Held(Gate, Box<Self>),
    /// Answers after a delay. For people who watch the demo; cases use `Held`.
    Late(Duration, Box<Self>),
    /// Reads the request, then resets the connection.
    Reset,
    /// Sends the head and half of the body, then resets the connection.
    Cut(Reply),
    /// Sends the head and the body and then keeps the answer open for ever.
    Endless(Reply),
    /// 200 with a body made up on the fly; the second half follows once the gate is open.
    Download(u64, Gate),
    /// 200 with a `text/event-stream`, an event for every text sent to the [`Events`].
    Events(Feed),
    /// Accepts a WebSocket and echoes. Texts that are orders: `close 4001 reason`, `drop`.
    WebSocket,
    /// The same, with the headers of this reply in the 101.
    WebSocketWith(Reply),
}

/// A fixed answer: status, headers, body. Comes with a `Content-Length`.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

impl Answer {
    /// Bytes as they stand.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::Raw(bytes.into())
    }
}

/// The sending end of an event stream. The stream ends when it is dropped.
pub type Events = mpsc::UnboundedSender<String>;

/// The server's end of an event stream.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Mutex<mpsc::UnboundedReceiver<String>>>);

/// An answer that streams events, and the end to send them with.
pub fn events() -> (Events, Answer) {
    let (events, feed) = mpsc::unbounded_channel();
    (events, Answer::Events(Feed(Arc::new(Mutex::new(feed)))))
}

impl Reply {
    /// An answer with a status and, where the status allows one, a body that names the server and
    /// the status.
    pub fn status(status: u16) -> Self {
        let reason = if status == 200 { "OK" } else { "As Told" };
        Self { status, reason: reason.to_owned(), headers: Vec::new(), body: None }
    }

    /// A redirect to `location`.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::status(status).header("Location", location)
    }

    /// With another status text.
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.to_owned();
        self
    }

    /// With one more header line.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    fn text(&self, name: &str) -> Bytes {
        match &self.body {
            Some(body) => body.clone(),
            None if self.status == 205 => Bytes::new(),
            None => format!("{name} says {}\n", self.status).into(),
        }
    }

    fn lines(&self) -> String {
        self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    fn head(&self, framing: &str) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n{}", self.status, self.reason, self.lines());
        if !framing.is_empty() {
            head.push_str(&format!("{framing}\r\n"));
        }
        head + "\r\n"
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Answer {
    /// The status, if it is a fixed answer.
    pub(super) fn told(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.status),
            _ => None,
        }
    }

    /// Answers `seen`. Gives the connection back if it can carry another request.
    pub(super) async fn give(self, mut wire: Wire, seen: &Seen, shared: &Shared) -> io::Result<Option<Wire>> {
        let head_only = seen.method == "HEAD";
        match self {
            Self::Echo => send(wire, &echo(seen, &shared.name), &shared.name, head_only).await,
            Self::Reply(reply) => send(wire, &reply, &shared.name, head_only).await,
            Self::Raw(bytes) => wire.send(bytes).await.map(|()| None),
            Self::Hang => abandoned(wire, shared).await,
            Self::Held(gate, answer) => {
                tokio::select! {
                    () = gate.passed() => {}
                    () = wire.gone() => return count_aborted(shared),
                }
                Box::pin(answer.give(wire, seen, shared)).await
            }
            Self::Late(delay, answer) => {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = wire.gone() => return count_aborted(shared),
                }
                Box::pin(answer.give(wire, seen, shared)).await
            }
            Self::Reset => {
                wire.reset();
                Ok(None)
            }
            Self::Cut(reply) => {
                let body = reply.text(&shared.name);
                wire.send(reply.head(&length(body.len()))).await?;
                wire.send(&body[..body.len() / 2]).await?;
                wire.reset();
                Ok(None)
            }
            Self::Endless(reply) => {
                wire.send(reply.head(CHUNKED)).await?;
                wire.send_chunk(&reply.text(&shared.name)).await?;
                abandoned(wire, shared).await
            }
            Self::Download(bytes, gate) => download(wire, bytes, gate).await,
            Self::Events(feed) => stream_events(wire, feed, shared).await,
            Self::WebSocket => websocket::session(wire, seen, shared, "").await,
            Self::WebSocketWith(reply) => websocket::session(wire, seen, shared, &reply.lines()).await,
        }
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

fn length(bytes: usize) -> String {
    format!("Content-Length: {bytes}")
}

async fn send(mut wire: Wire, reply: &Reply, name: &str, head_only: bool) -> io::Result<Option<Wire>> {
    if reply.bodiless() {
        wire.send(reply.head("")).await?;
        return Ok(Some(wire));
    }
    let body = reply.text(name);
    let mut message = reply.head(&length(body.len())).into_bytes();
    if !head_only {
        message.extend_from_slice(&body);
    }
    wire.send(message).await?;
    Ok(Some(wire))
}

async fn download(mut wire: Wire, bytes: u64, gate: Gate) -> io::Result<Option<Wire>> {
    let mut sent = 0;
    wire.send(Reply::status(200).head(&format!("Content-Length: {bytes}"))).await?;
    for piece in made_up(bytes) {
        if sent >= bytes / 2 {
            gate.passed().await;
        }
        sent += piece.len() as u64;
        wire.send(piece).await?;
    }
    Ok(Some(wire))
}

async fn stream_events(mut wire: Wire, feed: Feed, shared: &Shared) -> io::Result<Option<Wire>> {
    let reply = Reply::status(200).header("Content-Type", "text/event-stream").header("Cache-Control", "no-cache");
    wire.send(reply.head(CHUNKED)).await?;
    let mut feed = feed.0.lock().await;
    loop {
        let event = tokio::select! {
            event = feed.recv() => event,
            () = wire.gone() => return count_aborted(shared),
        };
        let Some(event) = event else { break };
        wire.send_chunk(format!("data: {event}\n\n").as_bytes()).await?;
    }
    wire.send_chunk(b"").await?;
    Ok(Some(wire))
}

async fn abandoned(mut wire: Wire, shared: &Shared) -> io::Result<Option<Wire>> {
    wire.gone().await;
    count_aborted(shared)
}

fn count_aborted(shared: &Shared) -> io::Result<Option<Wire>> {
    shared.count(|counts| counts.aborted += 1);
    Ok(None)
}

fn echo(seen: &Seen, name: &str) -> Reply {
    let mut text = format!("server: {name}\n{} {}\n", seen.method, seen.target);
    for (name, value) in &seen.headers.0 {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&format!("\nbody: {}\n", seen.body));
    // Whoever wants to keep answers may keep this one: it shows when somebody gets another
    // visitor's.
    let reply = Reply::status(200).header("Cache-Control", "public, max-age=3600");
    reply.header("Content-Type", "text/plain; charset=utf-8").body(text)
}
