//! Routes of axum, and the servers of a pool for all other paths.

use std::io;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tunnel_balancer_core::{Clock as _, Pool};
use tunnel_balancer_tokio::{Balancer, ClientIp, Proxy};

/// Returns the routes: `/servers` is that of this program, and the servers of `pool` get the rest.
///
/// # Errors
/// If the root certificates of the machine cannot be read.
pub fn router(pool: Pool) -> io::Result<Router> {
    let balancer = Balancer::new(pool)?;
    Ok(Router::new()
        .route("/servers", get(servers))
        .with_state(balancer.clone())
        .fallback_service(Proxy::new(balancer))
        .layer(middleware::from_fn(client_ip)))
}

async fn servers(State(balancer): State<Balancer>) -> Json<Value> {
    let status = balancer.pool().update(|state| state.status(balancer.clock().now()));
    let server = |server: &tunnel_balancer_core::ServerStatus| json!({ "name": server.name, "state": server.state() });
    Json(status.servers.iter().map(server).collect())
}

/// Passes the address of the client to the proxy, for `X-Forwarded-For`.
async fn client_ip(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(ClientIp(client.ip()));
    next.run(request).await
}
