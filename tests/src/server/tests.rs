//! The servers themselves, asked directly: a fault that does not happen would let every case pass.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use super::{Answer, FaultyServer, HEALTH_PATH, Reply, events};
use crate::{Client, Digest, Gate, Request};

#[tokio::test]
async fn stopped_means_refused_and_the_port_is_kept() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    let mut kept = client.connect().await;
    assert_eq!(kept.send(&Request::get("/")).await.expect("an answer").status, 200);
    server.stop().await;
    assert!(kept.send(&Request::get("/")).await.is_err(), "kept connections are dropped");
    let refused = TcpStream::connect(server.addr()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    server.restart().expect("its port is held");
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn requests_are_recorded_as_they_were_on_the_wire() {
    let server = FaultyServer::start("one").await;
    let request = Request::post("//a/../b?\\{}", "body").header("x-A", "1").header("B", "2").header("X-a", "3");
    Client::new(server.addr()).send(request).await;
    let seen = server.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.body), ("POST", "//a/../b?\\{}", Digest::of("body")));
    let names: Vec<_> = seen.headers.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "x-A", "B", "X-a", "Content-Length"]);
}

#[tokio::test]
async fn broken_answers_are_broken() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    server.answer(Answer::Reset);
    let error = client.connect().await.send(&Request::get("/")).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.answer(Answer::Cut(Reply::status(200).body("x".repeat(1000))));
    assert!(client.open(Request::get("/")).await.complete().await.is_err());
    server.answer(Answer::Endless(Reply::status(200).body("x")));
    let mut endless = client.open(Request::get("/")).await;
    assert_eq!(endless.piece().await.as_deref(), Some(b"x".as_slice()));
    drop(endless);
    server.until("the abandoned answer", |counts| counts.aborted == 1).await;
}

#[tokio::test]
async fn probes_are_counted_apart() {
    let server = FaultyServer::start("one").await;
    let (client, gate) = (Client::new(server.addr()), Gate::closed());
    server.health(Answer::Held(gate.clone(), Box::new(Reply::status(503).into())));
    let both_wait = async {
        server.until("two probes", |counts| counts.probes_open == 2).await;
        gate.open();
    };
    let (one, two, ()) = tokio::join!(client.get(HEALTH_PATH), client.get(HEALTH_PATH), both_wait);
    assert_eq!((one.status, two.status, client.get("/").await.status), (503, 503, 200));
    let counts = server.until("their end", |counts| counts.probes_open == 0).await;
    assert_eq!((counts.probes, counts.probes_at_once, counts.requests), (2, 2, 1));
}

#[tokio::test]
async fn streams_are_complete() {
    let server = FaultyServer::start("one").await;
    let client = Client::new(server.addr());
    let (events, answer) = events();
    server.answer(answer);
    let mut stream = client.open(Request::get("/")).await;
    events.send("hello".to_owned()).expect("the server streams");
    assert_eq!(stream.until("\n\n").await, "data: hello\n\n");
    drop(events);
    assert_eq!(stream.piece().await, None);

    let gate = Gate::closed();
    gate.open();
    server.answer(Answer::Download(200_000, gate));
    assert_eq!(client.get("/").await.body.len(), 200_000);
}
