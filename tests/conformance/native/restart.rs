//! A new process takes over from an old one that drains.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use tunnel_balancer_tests::proxy::Signal;
use tunnel_balancer_tests::{Bench, Client, Request, Service};

use super::tls::{Files, TlsClient, get};

cases![
    not on Worker: "Cloudflare replaces a Worker without an end of its connections";
    a_restart_under_load_loses_no_request,
    a_restart_loses_no_http2_request,
];

/// Clients that send requests until they are stopped: half of them on one connection, as long as
/// the proxy keeps it, and half on a new one for each request.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(client: Client) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..8).map(|nth| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            tokio::spawn(async move {
                let (mut failures, mut kept) = (Vec::new(), None);
                while !stop.load(Ordering::Relaxed) {
                    let connection = match kept.take() {
                        Some(connection) => Ok(connection),
                        None => client.try_connect().await,
                    };
                    let result = async {
                        let mut connection = connection?;
                        let response = connection.send(&Request::get("/")).await?;
                        let closes = response.header("Connection").is_some_and(|value| value == "close");
                        if nth % 2 == 0 && !closes {
                            kept = Some(connection);
                        }
                        Ok::<_, std::io::Error>(response.status)
                    };
                    match result.await {
                        Ok(200) => {}
                        failed => failures.push(format!("{failed:?}")),
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { clients: clients.collect(), stop, sent }
    }

    /// Waits for this number of further requests.
    async fn more(&self, requests: usize) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        while self.sent.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }

    async fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("no panic"));
        }
        failures
    }
}

async fn a_restart_under_load_loses_no_request(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let mut old = bench.serve(Service::of([&primary]), &[]).await;
    let address = old.addr().to_string();
    let load = Load::start(*old);
    for _ in 0..5 {
        load.more(50).await;
        let new = bench.serve(Service::of([&primary]), &["--listen", &address]).await;
        old.signal(Signal::TERM);
        assert_eq!(old.exit().await.code(), Some(0));
        load.more(50).await;
        assert!(!new.events("request").is_empty());
        old = new;
    }
    assert_eq!(load.failures().await, Vec::<String>::new());
}

async fn a_restart_loses_no_http2_request(bench: Bench) {
    let [primary] = bench.servers(["primary"]).await;
    let files = Arc::new(Files::new("app.test"));
    let mut old = bench.serve(Service::of([&primary]), &files.arguments()).await;
    let address = old.addr();
    let (stop, failures) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (files, stop, failures) = (Arc::clone(&files), Arc::clone(&stop), Arc::clone(&failures));
            let fail = move |error: String| failures.lock().expect("no panic while locked").push(error);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = match TlsClient::connect(address, &files, "h2").await {
                        Ok(client) => client,
                        Err(error) => return fail(error.to_string()),
                    };
                    while !stop.load(Ordering::Relaxed) {
                        match client.send(get("/")).await {
                            Ok(response) if response.status() == 200 => {}
                            // The connection is closing, and the request was not sent.
                            Err(error) if error.is_canceled() || error.is_closed() => break,
                            failed => fail(format!("{failed:?}")),
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = primary.hits();
        primary.until("requests through the old process", |counts| counts.requests >= before + 50).await;
        let listen = address.to_string();
        let arguments: Vec<&str> = files.arguments().into_iter().chain(["--listen", &listen]).collect();
        let new = bench.serve(Service::of([&primary]), &arguments).await;
        old.signal(Signal::TERM);
        assert_eq!(old.exit().await.code(), Some(0));
        new.logged("request", 50).await;
        old = new;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
    assert_eq!(*failures.lock().expect("no panic while locked"), Vec::<String>::new());
}
