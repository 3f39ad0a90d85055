//! `cargo run -p embed-hyper -- http://127.0.0.1:9001 http://127.0.0.1:9002`

use std::error::Error;

use embed_hyper::serve;
use tokio::net::TcpListener;
use tunnel_balancer_core::{Pool, Server, Service};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let servers = std::env::args().skip(1).map(|url| Ok(Server::new(url.parse()?)));
    let servers = servers.collect::<Result<Vec<_>, Box<dyn Error + Send + Sync>>>()?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{} in front of {} servers", listener.local_addr()?, servers.len());
    serve(listener, Pool::new(Service::new("localhost", servers)?, 1)).await?;
    Ok(())
}
