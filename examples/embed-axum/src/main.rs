//! `cargo run -p embed-axum -- http://127.0.0.1:9001 http://127.0.0.1:9002`

use std::error::Error;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tunnel_balancer_core::Pool;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = embed_axum::router(Pool::of(std::env::args().skip(1))?)?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}/servers", listener.local_addr()?);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
