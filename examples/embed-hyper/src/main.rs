//! `cargo run -p embed-hyper -- http://127.0.0.1:9001 http://127.0.0.1:9002`

use std::error::Error;

use tokio::net::TcpListener;
use tunnel_balancer_core::Pool;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::of(std::env::args().skip(1))?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{} in front of {} servers", listener.local_addr()?, pool.service().servers().len());
    embed_hyper::serve(listener, pool).await?;
    Ok(())
}
