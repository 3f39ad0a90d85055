//! A WebSocket after its handshake: bytes in both directions until one side has enough.

use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::time::timeout;
use tokio_util::io::InspectReader;

use crate::access::Access;

/// Joins the two connections when both have switched protocols. It may be silent for ever: the
/// machines' own keepalive finds out whether the other side is still there. But it has no half:
/// when one side has ended, the other gets `patience` to end as well.
pub(crate) async fn join(client: OnUpgrade, server: OnUpgrade, mut access: Access, patience: Duration) {
    let Ok((client, server)) = tokio::try_join!(client, server) else {
        access.line.broken = Some("the upgrade failed");
        return;
    };
    // Counted as it goes: the line is written as well when nobody waits for the end.
    let access = Mutex::new(access);
    let change = |f: &dyn Fn(&mut Access)| f(&mut access.lock().unwrap_or_else(PoisonError::into_inner));
    let count = |bytes: &[u8]| change(&|access| access.line.bytes += bytes.len() as u64);
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_server, to_server) = split(TokioIo::new(server));
    let mut up = pin!(pass(InspectReader::new(from_client, count), to_server));
    let mut down = pin!(pass(InspectReader::new(from_server, count), to_client));
    let end = tokio::select! {
        first = up.as_mut() => async { first?; timeout(patience, down).await? }.await,
        first = down.as_mut() => async { first?; timeout(patience, up).await? }.await,
    };
    if let Err(error) = end {
        let stood_still = error.kind() == io::ErrorKind::TimedOut;
        let broken = if stood_still { "one side stood still" } else { "the connection broke off" };
        change(&|access| access.line.broken = Some(broken));
    }
}

/// Passes on what comes, and that nothing more does.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    copy(&mut from, &mut to).await?;
    to.shutdown().await
}
