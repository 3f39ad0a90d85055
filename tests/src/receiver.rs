//! A receiver of notifications, which checks each message as its service does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::within;

/// The formats that a receiver accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Any JSON object with an event.
    Json,
    /// ntfy: a message for a topic, posted to the root.
    Ntfy,
    /// Discord: a `content` of up to 2,000 characters.
    Discord,
    /// Slack: a `text`.
    Slack,
    /// Gotify: a message with the token of an application.
    Gotify,
    /// A GET without a body.
    Heartbeat,
}

/// A message that a receiver got, with the status of its response.
#[derive(Clone, Debug)]
pub struct Message {
    /// The request line without the version, such as `POST /message`.
    pub request: String,
    /// The header lines, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body. `Null` if there is none.
    pub body: Value,
    /// The status of the response. 0 if there was none.
    pub status: u16,
}

/// A running receiver on its own loopback port.
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    format: Format,
    messages: watch::Sender<Vec<Message>>,
    /// The responses to the next messages: a status and further header lines. 0: no response.
    planned: Mutex<Vec<(u16, String)>>,
}

/// The token that Gotify requires.
pub const TOKEN: &str = crate::target::SECRET.1;

impl Receiver {
    /// Starts a receiver.
    pub async fn start(format: Format) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { format, messages: watch::Sender::default(), planned: Mutex::default() });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&accepting)));
            }
        });
        Self { addr, shared }
    }

    /// Returns the URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the responses to the next messages. Status 0 is no response.
    pub fn plan(&self, responses: &[(u16, &str)]) {
        let planned = responses.iter().rev().map(|(status, headers)| (*status, (*headers).to_owned()));
        *self.shared.planned.lock().expect("no panic while locked") = planned.collect();
    }

    /// Returns the messages so far.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.messages.borrow().clone()
    }

    /// Waits for a number of messages, and returns them.
    pub async fn received(&self, count: usize) -> Vec<Message> {
        let mut messages = self.shared.messages.subscribe();
        let what = format!("{count} messages for {:?}", self.shared.format);
        let wait = messages.wait_for(|messages| messages.len() >= count);
        within(&what, wait).await.expect("the receiver keeps the sender alive").clone()
    }
}

impl Message {
    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut message) = read(&mut stream).await {
        let planned = shared.planned.lock().expect("no panic while locked").pop();
        let (status, headers) = planned.unwrap_or_else(|| (shared.format.check(&message), String::new()));
        message.status = status;
        shared.messages.send_modify(|messages| messages.push(message));
        if status == 0 {
            // Until the client disconnects.
            let _ = stream.read_u8().await;
            return;
        }
        let response = format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: 0\r\n\r\n");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Message> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let request = lines.first()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let header = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = lines.iter().skip(1).filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Message { request, headers, body, status: 0 })
}

impl Format {
    /// Returns the status with which the service responds to a message.
    fn check(self, message: &Message) -> u16 {
        let text = |key: &str| message.body[key].as_str().unwrap_or_default();
        let is_within = |key: &str, most: usize| (1..=most).contains(&text(key).chars().count());
        let valid = match self {
            Self::Json => message.request.starts_with("POST ") && !text("event").is_empty(),
            Self::Ntfy => {
                let topic = text("topic").bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                let priority = message.body["priority"].as_u64().is_some_and(|priority| (1..=5).contains(&priority));
                message.request == "POST /" && topic && is_within("topic", 64) && is_within("message", 4096) && priority
            }
            Self::Discord => message.request.starts_with("POST /api/webhooks/") && is_within("content", 2000),
            Self::Slack => message.request.starts_with("POST /services/") && is_within("text", 40_000),
            Self::Gotify if message.header("x-gotify-key") != Some(TOKEN) => return 401,
            Self::Gotify => message.request == "POST /message" && is_within("message", 10_000),
            Self::Heartbeat => message.request.starts_with("GET ") && message.body.is_null(),
        };
        match (valid, self) {
            (false, _) => 400,
            (true, Self::Discord) => 204,
            (true, _) => 200,
        }
    }
}
