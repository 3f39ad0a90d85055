//! The example while its servers are killed, and while one of them hangs.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use test_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The example as a process, which is killed when this is dropped.
struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    async fn start(servers: &[String]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_embed-pingora"));
        let process = command.arg(port.to_string()).args(servers).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { process, port }
    }

    /// Sends a request and returns status and body.
    async fn send(&self, method: &str, body: &str) -> io::Result<(String, String)> {
        let response = exchange(self.port, method, &[body]).await?;
        let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
        Ok((status, response.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()))
    }
}

/// Sends a request whose body has these parts, with a pause of 3.5 s between them, and returns the
/// response.
async fn exchange(port: u16, method: &str, body: &[&str]) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length: usize = body.iter().map(|part| part.len()).sum();
    let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    for (index, part) in body.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(if index == 0 { 0 } else { 3_500 })).await;
        stream.write_all(part.as_bytes()).await?;
    }
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn served(text: &str) -> (String, String) {
    ("200".to_owned(), text.to_owned())
}

#[tokio::test]
async fn clients_notice_no_killed_server() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let proxy = Proxy::start(&[a.url(), b.url()]).await;
    assert_eq!(proxy.send("POST", "order").await?, served("a: POST /x \"order\""));
    a.kill().await;
    for _ in 0..4 {
        assert_eq!(proxy.send("POST", "order").await?, served("b: POST /x \"order\""));
        assert_eq!(proxy.send("GET", "").await?, served("b: GET /x \"\""));
    }
    b.kill().await;
    assert_eq!(proxy.send("GET", "").await?.0, "503");
    Ok(())
}

#[tokio::test]
async fn uploads_that_clients_abort_are_no_failures_of_a_server() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let proxy = Proxy::start(&[a.url(), b.url()]).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        stream.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await?;
    }
    assert_eq!(proxy.send("POST", "order").await?, served("a: POST /x \"order\""));
    Ok(())
}

#[tokio::test]
async fn requests_leave_a_server_that_accepts_no_connection() -> Result<(), Box<dyn Error>> {
    let full = tokio::net::TcpSocket::new_v4()?;
    full.bind("127.0.0.1:0".parse()?)?;
    let full = full.listen(1)?;
    let address = full.local_addr()?;
    // Linux accepts one connection more than the backlog, and drops the packets of others.
    let _queued = [TcpStream::connect(address).await?, TcpStream::connect(address).await?];
    let b = Server::start("b").await;
    let proxy = Proxy::start(&[format!("http://{address}"), b.url()]).await;
    for method in ["POST", "GET"] {
        assert_eq!(proxy.send(method, "").await?, served(&format!("b: {method} /x \"\"")));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_whose_name_has_no_address_is_unavailable() -> Result<(), Box<dyn Error>> {
    let proxy = Proxy::start(&["http://a.invalid:80".to_owned()]).await;
    assert_eq!(proxy.send("GET", "").await?.0, "503");
    Ok(())
}

#[tokio::test]
async fn a_client_that_pauses_its_upload_is_no_failure_of_a_server() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let proxy = Proxy::start(&[a.url(), b.url()]).await;
    let mut uploads = JoinSet::new();
    for _ in 0..4 {
        uploads.spawn(exchange(proxy.port, "PUT", &["half", "half"]));
    }
    for response in uploads.join_all().await {
        assert!(response?.ends_with("a: PUT /x \"halfhalf\""));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_breaks_after_an_interim_response_is_left() -> Result<(), Box<dyn Error>> {
    let a = start(|mut stream| async move {
        stream.read(&mut [0; 4096]).await?;
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await?;
        // Until the client has it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    });
    let b = Server::start("b").await;
    let proxy = Proxy::start(&[a.await?, b.url()]).await;
    let response = exchange(proxy.port, "GET", &[""]).await?;
    assert!(response.starts_with("HTTP/1.1 103 Early Hints") && response.ends_with("b: GET /x \"\""), "{response}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_stays_in_use() -> Result<(), Box<dyn Error>> {
    let a = start(|mut stream| async move {
        stream.read(&mut [0; 4096]).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await?;
        // It closes the connection when the next request arrives.
        stream.read(&mut [0; 4096]).await?;
        Ok(())
    });
    let b = Server::start("b").await;
    let proxy = Proxy::start(&[a.await?, b.url()]).await;
    let mut served_by_a = 0;
    for _ in 0..20 {
        let (status, body) = proxy.send("GET", "").await?;
        assert_eq!(status, "200");
        served_by_a += usize::from(body == "a");
    }
    assert!(served_by_a >= 8, "{served_by_a} of 20");
    Ok(())
}

#[tokio::test]
async fn many_slow_responses_are_waited_for() -> Result<(), Box<dyn Error>> {
    let proxy = Proxy::start(&[start_slow().await?, start_slow().await?]).await;
    let mut requests = JoinSet::new();
    for _ in 0..40 {
        requests.spawn(exchange(proxy.port, "GET", &[""]));
    }
    for response in requests.join_all().await {
        assert!(response?.ends_with("slow"));
    }
    Ok(())
}

#[tokio::test]
async fn reads_leave_a_server_that_hangs() -> Result<(), Box<dyn Error>> {
    // Connections are accepted by the system, and nothing responds.
    let hung = TcpListener::bind("127.0.0.1:0")?;
    let b = Server::start("b").await;
    let proxy = Proxy::start(&[format!("http://{}", hung.local_addr()?), b.url()]).await;
    for _ in 0..3 {
        assert_eq!(proxy.send("GET", "").await?, served("b: GET /x \"\""));
    }
    Ok(())
}

#[tokio::test]
async fn slow_responses_are_waited_for() -> Result<(), Box<dyn Error>> {
    let proxy = Proxy::start(&[start_slow().await?, start_slow().await?]).await;
    for method in ["POST", "GET"] {
        assert_eq!(proxy.send(method, "").await?, served("slow"), "{method}");
    }
    Ok(())
}

/// Starts a server that responds after four seconds, and returns its URL.
async fn start_slow() -> io::Result<String> {
    start(|mut stream| async move {
        while stream.read(&mut [0; 4096]).await? > 0 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await?;
        }
        Ok(())
    })
    .await
}

/// Starts a server that calls `serve` for each connection, and returns its URL.
async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<String>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(url)
}
