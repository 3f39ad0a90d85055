//! The client's end of a WebSocket.
//!
//! The handshake is a request of [`Client`], so a rejection is an ordinary response. The frames are
//! those of tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::client::{Client, Request, Response};
use crate::wire::Headers;
use crate::within;

/// The example of RFC 6455: any 16 bytes in base64.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An open WebSocket.
pub struct Socket {
    /// The headers of the 101.
    pub headers: Headers,
    stream: WebSocketStream<TcpStream>,
}

/// The end of a session as the client observed it.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Closed(u16, String),
    /// The connection ended without a close frame, or with one that carries no code.
    Broken,
}

impl Client {
    /// Opens a WebSocket, or returns the response if it is not a 101.
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
    /// Returns the stream.
    pub fn into_stream(self) -> WebSocketStream<TcpStream> {
        self.stream
    }

    /// Sends a text message.
    pub async fn send_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) {
        within("the socket to take a message", self.stream.send(message)).await.expect("an open socket");
    }

    /// Receives the next text or binary message.
    pub async fn receive(&mut self) -> Message {
        within("a message", self.stream.next()).await.expect("an open socket").expect("a valid message")
    }

    /// Disconnects by a reset, without a close frame.
    pub fn disconnect(self) {
        let stream = self.stream.into_inner();
        let _ = stream.set_zero_linger();
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
