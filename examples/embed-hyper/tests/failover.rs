//! The example while its servers are killed.

use std::error::Error;

use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use test_server::Server;
use tokio::net::TcpListener;
use tunnel_balancer_core::Pool;
use tunnel_balancer_tokio::{Balancer, Body};

async fn text(response: Response<Body>) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
}

#[tokio::test]
async fn clients_notice_no_killed_server() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Balancer::new(Pool::of([format!("http://{}", listener.local_addr()?)])?)?;
    tokio::spawn(embed_hyper::serve(listener, Pool::of([a.url(), b.url()])?));
    let post = || Request::post("/orders").body(Body::from("order".to_owned()));

    let response = client.send(post()?).await?;
    assert_eq!(response.headers()["x-seen-client"], "127.0.0.1");
    assert_eq!(text(response).await?, "a: POST /orders \"order\"");
    a.kill().await;
    assert_eq!(text(client.send(post()?).await?).await?, "b: POST /orders \"order\"");
    b.kill().await;
    assert_eq!(client.send(post()?).await?.status(), 503);
    Ok(())
}
