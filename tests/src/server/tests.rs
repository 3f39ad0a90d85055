//! Tests of the servers themselves: a fault without an effect would let every case pass.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{Action, FaultyServer, HEALTH_PATH, Reply, Shared, accept, events, socket};
use crate::{Client, Digest, Gate, Request};

#[tokio::test]
async fn a_stopped_server_refuses_connections_and_keeps_its_port() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    let mut kept = client.connect().await;
    assert_eq!(kept.send(&Request::get("/")).await.expect("a response").status, 200);
    server.stop().await;
    assert!(kept.send(&Request::get("/")).await.is_err(), "kept connections are dropped");
    let refused = TcpStream::connect(server.addr()).await.expect_err("no process listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    server.restart().expect("its port is held");
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(server.hits(), 2);
}

/// Another test may be starting a program. Until it runs, its process has a copy of all sockets.
#[tokio::test]
async fn a_stopped_server_refuses_connections_while_a_process_has_its_socket() {
    let held = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let addr = held.local_addr().expect("an address");
    let listener = socket(addr).and_then(|socket| socket.listen(16)).expect("a listener");
    let copy = listener.as_fd().try_clone_to_owned().expect("a copy");
    let (stop, stopped) = oneshot::channel();
    stop.send(()).expect("a receiver");
    accept(listener, stopped, Arc::new(Shared::new("one"))).await;
    let refused = TcpStream::connect(addr).await.expect_err("no process listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(copy);
}

#[tokio::test]
async fn requests_are_recorded_unchanged() {
    let server = FaultyServer::start("one").await;
    let request = Request::post("//a/../b?\\{}", "body").header("x-A", "1").header("B", "2").header("X-a", "3");
    Client::new(server.addr()).send(request).await;
    let seen = server.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.body), ("POST", "//a/../b?\\{}", Digest::of("body")));
    let names: Vec<_> = seen.headers.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "x-A", "B", "X-a", "Content-Length"]);
}

#[tokio::test]
async fn faults_are_visible_to_the_client() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    server.respond(Action::Reset);
    let error = client.connect().await.send(&Request::get("/")).await.expect_err("no response");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.respond(Action::Truncated(Reply::status(200).body("x".repeat(1000))));
    assert!(client.open(Request::get("/")).await.complete().await.is_err());
    server.respond(Action::Endless(Reply::status(200).body("x")));
    let mut endless = client.open(Request::get("/")).await;
    assert_eq!(endless.piece().await.as_deref(), Some(b"x".as_slice()));
    drop(endless);
    server.until("the aborted response", |counts| counts.aborted == 1).await;
}

#[tokio::test]
async fn probes_are_counted_separately() {
    let server = FaultyServer::start("one").await;
    let (client, gate) = (Client::new(server.addr()), Gate::closed());
    server.respond_to_probes(Action::Held(gate.clone(), Box::new(Reply::status(503).into())));
    let both_wait = async {
        server.until("two probes", |counts| counts.probes_in_flight == 2).await;
        gate.open();
    };
    let (one, two, ()) = tokio::join!(client.get(HEALTH_PATH), client.get(HEALTH_PATH), both_wait);
    assert_eq!((one.status, two.status, client.get("/").await.status), (503, 503, 200));
    let counts = server.until("their end", |counts| counts.probes_in_flight == 0).await;
    assert_eq!((counts.probes, counts.max_probes_in_flight, counts.requests), (2, 2, 1));
}

#[tokio::test]
async fn streams_are_complete() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    let (events, action) = events();
    server.respond(action);
    let mut stream = client.open(Request::get("/")).await;
    events.send("hello".to_owned()).expect("the server streams");
    assert_eq!(stream.until("\n\n").await, "data: hello\n\n");
    drop(events);
    assert_eq!(stream.piece().await, None);

    let gate = Gate::closed();
    gate.open();
    server.respond(Action::Download(200_000, gate));
    assert_eq!(client.get("/").await.body.len(), 200_000);
}
