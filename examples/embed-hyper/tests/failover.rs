//! The example with a server that refuses connections and one that responds.

use std::error::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tunnel_balancer_core::{Pool, Server, Service};

#[tokio::test]
async fn a_post_is_retried_on_the_server_that_is_up() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (down, up) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let urls = [down.local_addr()?, up.local_addr()?].map(|address| format!("http://{address}"));
    drop(down);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = up.accept().await?;
            tokio::spawn(async move {
                let mut seen = vec![0; 4096];
                let length = stream.read(&mut seen).await?;
                let echoed = String::from_utf8_lossy(&seen[..length]).ends_with("order").to_string();
                let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n", echoed.len());
                stream.write_all((head + &echoed).as_bytes()).await
            });
        }
        #[expect(unreachable_code, reason = "names the error of `?`")]
        Ok::<(), std::io::Error>(())
    });
    let servers = urls.iter().map(|url| Ok(Server::new(url.parse()?)));
    let service = Service::new("app.test", servers.collect::<Result<_, Box<dyn Error + Send + Sync>>>()?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(embed_hyper::serve(listener, Pool::new(service, 1)));

    let mut client = TcpStream::connect(address).await?;
    let request = "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\norder";
    client.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    client.read_to_string(&mut response).await?;
    assert!(response.starts_with("HTTP/1.1 201 Created\r\n") && response.ends_with("\r\n\r\ntrue"), "{response}");
    Ok(())
}
