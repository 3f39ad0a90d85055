//! The example while the primary is killed. The servers speak the protocol of PostgreSQL.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use choose_replica::query;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Config, SimpleQueryMessage};
use tunnel_balancer_core::{Pool, RequestMeta};
use tunnel_balancer_tokio::Dispatcher;

/// A server that returns its name to reads. It accepts writes once it is the primary.
struct Postgres {
    url: String,
    primary: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Postgres {
    async fn start(name: &'static str, is_primary: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://{}", listener.local_addr().unwrap());
        let primary = Arc::new(AtomicBool::new(is_primary));
        let shared = Arc::clone(&primary);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                sessions.spawn(session(stream, name, Arc::clone(&shared)));
            }
        });
        Self { url, primary, task }
    }

    async fn kill(self) {
        self.task.abort();
        // Ends with the error of a canceled task.
        let _ = self.task.await;
    }
}

/// Serves one session: the start-up without authentication, and simple queries.
async fn session(mut stream: TcpStream, name: &str, primary: Arc<AtomicBool>) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    send(&mut stream, b'R', &[0; 4]).await?;
    send(&mut stream, b'Z', b"I").await?;
    while stream.read_u8().await? == b'Q' {
        let mut sql = vec![0; stream.read_u32().await? as usize - 4];
        stream.read_exact(&mut sql).await?;
        if !sql.starts_with(b"SELECT") && !primary.load(Ordering::Relaxed) {
            send(&mut stream, b'E', b"SERROR\0C25006\0Mread-only\0\0").await?;
        } else {
            // One column of text, and one row.
            let column = [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0];
            send(&mut stream, b'T', &[&[0, 1][..], b"server\0", &column].concat()).await?;
            let length = u32::try_from(name.len()).unwrap().to_be_bytes();
            send(&mut stream, b'D', &[&[0, 1][..], &length, name.as_bytes()].concat()).await?;
            send(&mut stream, b'C', b"SELECT 1\0").await?;
        }
        send(&mut stream, b'Z', b"I").await?;
    }
    Ok(())
}

async fn send(stream: &mut TcpStream, kind: u8, body: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    stream.write_all(&[&[kind][..], &length, body].concat()).await
}

#[tokio::test]
async fn reads_and_writes_leave_a_killed_primary() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Postgres::start("a", true).await, Postgres::start("b", false).await);
    let servers = Dispatcher::new(Pool::of([b.url.as_str(), a.url.as_str()])?)?;
    let mut config = Config::new();
    config.user("app");
    let run = async |request: RequestMeta, sql: &str| -> Result<String, Box<dyn Error>> {
        let messages = query(&servers, request, &config, sql).await??;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.ok_or("no row")?.to_owned())
    };
    assert_eq!(run(RequestMeta::read(), "SELECT").await?, "b");
    for _ in 0..5 {
        assert_eq!(run(RequestMeta::write(), "INSERT").await?, "a", "declined by the replica, which is not at fault");
        assert_eq!(run(RequestMeta::read(), "SELECT").await?, "b");
    }
    a.kill().await;
    let error = run(RequestMeta::write(), "INSERT").await.unwrap_err().to_string();
    assert!(error.contains("request declined"), "{error}");
    b.primary.store(true, Ordering::Relaxed);
    assert_eq!(run(RequestMeta::write(), "INSERT").await?, "b", "promoted");
    Ok(())
}
