//! A WebSocket server that echoes messages. The text `close 4001 reason` makes it close the session
//! with that code, and `drop` makes it reset the connection.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::{ReceivedRequest, Shared};
use crate::wire::Wire;

pub(super) async fn session(
    mut wire: Wire,
    seen: &ReceivedRequest,
    shared: &Shared,
    more: &str,
) -> io::Result<Option<Wire>> {
    let Some(key) = seen.header("Sec-WebSocket-Key") else {
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(Some(wire));
    };
    wire.send(accept(key, seen.header("Sec-WebSocket-Protocol"), more)).await?;
    shared.count(|counts| counts.websockets += 1);

    let (stream, ahead) = wire.into_parts();
    let mut socket = WebSocketStream::from_partially_read(stream, ahead, Role::Server, None).await;
    let mut end = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text == "drop" => {
                let _ = socket.get_ref().set_zero_linger();
                break;
            }
            Message::Text(text) if text.starts_with("close ") => {
                let _ = socket.close(close_frame(&text)).await;
            }
            Message::Text(_) | Message::Binary(_) => {
                let _ = socket.send(message).await; // a broken connection ends the loop
            }
            Message::Close(frame) => end = frame.map(|frame| (frame.code.into(), frame.reason.to_string())),
            _ => {}
        }
    }
    shared.count(|counts| counts.websocket_closes.push(end));
    Ok(None)
}

fn accept(key: &str, offered: Option<&str>, more: &str) -> String {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}",
        derive_accept_key(key.as_bytes())
    );
    if let Some(first) = offered.and_then(|list| list.split(',').next()) {
        head.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", first.trim()));
    }
    head + "\r\n"
}

fn close_frame(command: &str) -> Option<CloseFrame> {
    let (code, reason) = command.strip_prefix("close ")?.split_once(' ')?;
    Some(CloseFrame { code: code.parse::<u16>().ok()?.into(), reason: reason.to_owned().into() })
}
