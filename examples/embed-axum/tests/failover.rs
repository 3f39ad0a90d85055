//! The example while its servers are killed.

use std::error::Error;
use std::net::SocketAddr;

use http::Request;
use http_body_util::BodyExt as _;
use test_server::Server;
use tokio::net::TcpListener;
use tunnel_balancer_core::Pool;
use tunnel_balancer_tokio::{Balancer, Body};

async fn get(client: &Balancer, path: &str) -> Result<String, Box<dyn Error>> {
    let response = client.send(Request::get(path).body(Body::empty())?).await?;
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
}

#[tokio::test]
async fn own_routes_and_servers_respond() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let router = embed_axum::router(Pool::of([a.url(), b.url()])?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Balancer::new(Pool::of([format!("http://{}", listener.local_addr()?)])?)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    assert_eq!(get(&client, "/rooms").await?, "a: GET /rooms \"\"");
    let name = a.url().replace("http://", "");
    a.kill().await;
    assert_eq!(get(&client, "/rooms").await?, "b: GET /rooms \"\"");
    let servers = get(&client, "/servers").await?;
    assert!(servers.contains(&format!("{{\"name\":\"{name}\",\"state\":\"ejected\"}}")), "{servers}");
    Ok(())
}
