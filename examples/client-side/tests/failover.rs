//! The example while its servers are killed.

use std::error::Error;

use client_side::{client, get};
use test_server::Server;

#[tokio::test]
async fn requests_take_turns_and_leave_a_killed_server() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let client = client([a.url(), b.url()])?;
    let mut pages = [get(&client, "/x").await?, get(&client, "/x").await?];
    pages.sort();
    assert_eq!(pages, ["a: GET /x \"\"", "b: GET /x \"\""]);
    a.kill().await;
    for _ in 0..4 {
        assert_eq!(get(&client, "/x").await?, "b: GET /x \"\"");
    }
    b.kill().await;
    let error = get(&client, "/x").await.unwrap_err().to_string();
    assert!(error.starts_with("no response: unavailable ("), "{error}");
    Ok(())
}
