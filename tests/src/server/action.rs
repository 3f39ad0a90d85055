//! The actions of a server: responses and faults.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::{ReceivedRequest, Shared, websocket};
use crate::digest::generated;
use crate::gate::Gate;
use crate::wire::Wire;

/// The reaction of a server to a request. Only `Delayed` depends on the clock.
#[derive(Clone, Debug, Default)]
pub enum Action {
    /// A 200 with a description of the request.
    #[default]
    Echo,
    /// A fixed response.
    Reply(Reply),
    /// These bytes and the end of the connection.
    Raw(Bytes),
    /// Reads the request and never responds.
    Hang,
    /// Responds when the gate is open.
    Held(Gate, Box<Self>),
    /// Responds after a delay. For the demo: cases use `Held`.
    Delayed(Duration, Box<Self>),
    /// Reads the request, then resets the connection.
    Reset,
    /// Sends the head and half of the body, then resets the connection.
    Truncated(Reply),
    /// Sends the head and the body, and never ends the response.
    Endless(Reply),
    /// A 200 with a generated body. The second half follows when the gate is open.
    Download(u64, Gate),
    /// A 200 with a `text/event-stream`, with an event for every text sent to the [`Events`].
    Events(Feed),
    /// Accepts a WebSocket and echoes messages. Commands are `close 4001 reason` and `drop`.
    WebSocket,
    /// The same, with the headers of this reply in the 101.
    WebSocketWith(Reply),
}

/// A fixed response: status, headers and body, with a `Content-Length`.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

impl Action {
    /// Creates an action that sends these bytes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::Raw(bytes.into())
    }
}

/// The sending end of an event stream. The stream ends when it is dropped.
pub type Events = mpsc::UnboundedSender<String>;

/// The server's end of an event stream.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Mutex<mpsc::UnboundedReceiver<String>>>);

/// Creates an action that streams events, and the end to send them with.
pub fn events() -> (Events, Action) {
    let (events, feed) = mpsc::unbounded_channel();
    (events, Action::Events(Feed(Arc::new(Mutex::new(feed)))))
}

impl Reply {
    /// Creates a response with a status and, if the status allows one, a body that names the server
    /// and the status.
    pub fn status(status: u16) -> Self {
        let reason = if status == 200 { "OK" } else { "Custom" };
        Self { status, reason: reason.to_owned(), headers: Vec::new(), body: None }
    }

    /// Creates a redirect to `location`.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::status(status).header("Location", location)
    }

    /// Sets the status text.
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.to_owned();
        self
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
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
            None => format!("status {} of {name}\n", self.status).into(),
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

impl From<Reply> for Action {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Action {
    /// Returns the status if the response is fixed.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.status),
            _ => None,
        }
    }

    /// Responds to a request. Returns the connection if it can carry another request.
    pub(super) async fn perform(
        self,
        mut wire: Wire,
        seen: &ReceivedRequest,
        shared: &Shared,
    ) -> io::Result<Option<Wire>> {
        let head_only = seen.method == "HEAD";
        match self {
            Self::Echo => send(wire, &echo(seen, &shared.name), &shared.name, head_only).await,
            Self::Reply(reply) => send(wire, &reply, &shared.name, head_only).await,
            Self::Raw(bytes) => wire.send(bytes).await.map(|()| None),
            Self::Hang => until_closed(wire, shared).await,
            Self::Held(gate, action) => {
                tokio::select! {
                    () = gate.passed() => {}
                    () = wire.until_closed() => return count_aborted(shared),
                }
                Box::pin(action.perform(wire, seen, shared)).await
            }
            Self::Delayed(delay, action) => {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = wire.until_closed() => return count_aborted(shared),
                }
                Box::pin(action.perform(wire, seen, shared)).await
            }
            Self::Reset => {
                wire.reset();
                Ok(None)
            }
            Self::Truncated(reply) => {
                let body = reply.text(&shared.name);
                wire.send(reply.head(&length(body.len()))).await?;
                wire.send(&body[..body.len() / 2]).await?;
                wire.reset();
                Ok(None)
            }
            Self::Endless(reply) => {
                wire.send(reply.head(CHUNKED)).await?;
                wire.send_chunk(&reply.text(&shared.name)).await?;
                until_closed(wire, shared).await
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
    for piece in generated(bytes) {
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
            () = wire.until_closed() => return count_aborted(shared),
        };
        let Some(event) = event else { break };
        wire.send_chunk(format!("data: {event}\n\n").as_bytes()).await?;
    }
    wire.send_chunk(b"").await?;
    Ok(Some(wire))
}

async fn until_closed(mut wire: Wire, shared: &Shared) -> io::Result<Option<Wire>> {
    wire.until_closed().await;
    count_aborted(shared)
}

fn count_aborted(shared: &Shared) -> io::Result<Option<Wire>> {
    shared.count(|counts| counts.aborted += 1);
    Ok(None)
}

fn echo(seen: &ReceivedRequest, name: &str) -> Reply {
    let mut text = format!("server: {name}\n{} {}\n", seen.method, seen.target);
    for (name, value) in &seen.headers.0 {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&format!("\nbody: {}\n", seen.body));
    // The response is cacheable, so a case notices if a client gets the response of another one.
    let reply = Reply::status(200).header("Cache-Control", "public, max-age=3600");
    reply.header("Content-Type", "text/plain; charset=utf-8").body(text)
}
