//! A WebSocket after its handshake: bytes in both directions until one side has enough.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::access::Access;

/// Joins the two connections when both have switched protocols. It may be silent for ever: the machines' own keepalive
/// finds out whether the other side is still there.
pub(crate) async fn join(client: OnUpgrade, server: OnUpgrade, mut access: Access) {
    let Ok((client, server)) = tokio::try_join!(client, server) else {
        access.line.broken = Some("the upgrade failed");
        return;
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    match copy_bidirectional(&mut client, &mut server).await {
        Ok((up, down)) => access.line.bytes = up + down,
        Err(_) => access.line.broken = Some("the connection broke off"),
    }
}
