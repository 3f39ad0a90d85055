//! A WebSocket after its handshake: bytes are copied in both directions until one side closes.

use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;
use tokio_util::io::InspectReader;
use tunnel_balancer_core::Reason;

use crate::access::Access;

/// Relays bytes between the two connections once both have switched protocols.
///
/// There is no idle timeout: TCP keepalive detects a dead peer. There is no half-open state either:
/// when one side has closed, the other one has `close_timeout` to close.
pub(crate) async fn relay(client: OnUpgrade, server: OnUpgrade, mut access: Access, close_timeout: Duration) {
    let Ok((client, server)) = tokio::try_join!(client, server) else {
        access.line.reason = Some(Reason::UpgradeFailed);
        return;
    };
    // Bytes are counted during the transfer: the line is written even if the task is aborted.
    let access = Mutex::new(access);
    let change = |f: &dyn Fn(&mut Access)| f(&mut access.lock().unwrap_or_else(PoisonError::into_inner));
    let count = |bytes: &[u8]| change(&|access| access.line.bytes += bytes.len() as u64);
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_server, to_server) = split(TokioIo::new(server));
    let mut up = pin!(copy(InspectReader::new(from_client, count), to_server));
    let mut down = pin!(copy(InspectReader::new(from_server, count), to_client));
    let end = tokio::select! {
        first = up.as_mut() => async { first?; timeout(close_timeout, down).await? }.await,
        first = down.as_mut() => async { first?; timeout(close_timeout, up).await? }.await,
    };
    if let Err(error) = end {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let reason = if timed_out { Reason::CloseTimeout } else { Reason::ConnectionLost };
        change(&|access| access.line.reason = Some(reason));
    }
}

/// Copies all bytes and then shuts down the writer.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}
