//! The client's end of a WebSocket.
//!
//! The handshake is an ordinary request of [`Client`], so that a case can look at a rejection as at
//! any other response; the frames are tungstenite's.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::client::{Client, Request, Response};
use crate::wire::Headers;
use crate::within;

/// Any 16 bytes in base64 will do; this is the example of RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An open WebSocket.
pub struct Socket {
    /// The headers of the 101.
    pub headers: Headers,
    stream: WebSocketStream<TcpStream>,
}

/// How a session ended, seen from the client.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Closed(u16, String),
    /// The connection ended without a close frame, or with one that carries no code.
    Broken,
}

impl Client {
    /// Asks for a WebSocket. The response, if it is not a 101.
    pub async fn websocket(&self, request: Request) -> Result<Socket, Response> {
        let request = request
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY);
        let incoming = self.open(request).await;
        if incoming.status != 101 {
            return Err(incoming.complete().await.expect("a complete response"));
        }
        let accepted = incoming.headers.first("Sec-WebSocket-Accept");
        assert_eq!(accepted, Some(derive_accept_key(KEY.as_bytes()).as_str()), "the accept header");
        let (headers, wire) = incoming.upgrade();
        let (stream, ahead) = wire.into_parts();
        let stream = WebSocketStream::from_partially_read(stream, ahead, Role::Client, None).await;
        Ok(Socket { headers, stream })
    }
}

impl Socket {
    /// The socket without this wrapping.
    pub fn into_stream(self) -> WebSocketStream<TcpStream> {
        self.stream
    }

    /// Sends a text.
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) {
        within("the socket to take a message", self.stream.send(message)).await.expect("an open socket");
    }

    /// The next text or binary message.
    pub async fn hear(&mut self) -> Message {
        within("a message", self.stream.next()).await.expect("an open socket").expect("a sound message")
    }

    /// Leaves without a word, by a reset.
    pub fn leave(self) {
        let stream = self.stream.into_inner();
        let _ = stream.set_zero_linger(); // it is a connection of our own
    }

    /// Closes the session from this side and waits for its end.
    pub async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        within("the close frame to be taken", self.stream.close(Some(frame))).await.expect("an open socket");
        self.end().await;
    }

    /// Waits for the end of the session.
    pub async fn end(mut self) -> End {
        let mut end = End::Broken;
        while let Some(Ok(message)) = within("the end of the session", self.stream.next()).await {
            if let Message::Close(Some(frame)) = message {
                end = End::Closed(frame.code.into(), frame.reason.to_string());
            }
        }
        end
    }
}
