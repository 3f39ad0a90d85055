//! A reverse proxy on hyper, in front of the servers of a pool.

use std::convert::Infallible;
use std::io;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tunnel_balancer_core::Pool;
use tunnel_balancer_tokio::{Balancer, Proxy};

/// Serves the connections of `listener` with the servers of `pool`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, pool: Pool) -> io::Result<Infallible> {
    let balancer = Balancer::new(pool)?;
    let _prober = balancer.keep_probing();
    let proxy = Proxy::new(balancer);
    loop {
        let (stream, client) = listener.accept().await?;
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { Ok::<_, Infallible>(proxy.handle(request, Some(client.ip())).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}
