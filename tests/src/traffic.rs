//! A client that sends GETs in a closed loop on one connection and checks each response.
//!
//! Cases change the servers under this traffic and wait for an effect, for example ten consecutive
//! responses of a replica. At the end no request may have failed.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Client, Connection, Request};
use crate::within;

/// Running traffic. Ends when dropped.
pub struct Traffic {
    seen: watch::Receiver<Stats>,
    task: JoinHandle<()>,
}

/// The results of the traffic so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Responses so far.
    pub responses: usize,
    /// Descriptions of all responses other than 200.
    pub failures: Vec<String>,
    /// The server of the last response.
    pub server: String,
    /// The number of consecutive responses of this server.
    pub consecutive: usize,
}

impl Traffic {
    /// Starts sending GETs for `/`.
    pub fn start(client: &Client) -> Self {
        let client = *client;
        let (sender, seen) = watch::channel(Stats::default());
        Self { seen, task: tokio::spawn(send_gets(client, sender)) }
    }

    /// Waits for `count` consecutive responses of `server` from now on.
    pub async fn served_by(&mut self, server: &str, count: usize) {
        let before = self.seen.borrow_and_update().responses;
        let wait = self.seen.wait_for(|stats| {
            stats.server == server && stats.consecutive >= count && stats.responses >= before + count
        });
        let waited = tokio::time::timeout(crate::TIMEOUT, wait).await.is_ok();
        assert!(waited, "no {count} consecutive responses of {server}; results: {:?}", self.seen.borrow());
    }

    /// Stops and checks that no request failed.
    pub async fn ends_without_failure(self) {
        self.task.abort();
        let stats = self.seen.borrow().clone();
        assert!(
            stats.failures.is_empty(),
            "{} of {} failed: {:?}",
            stats.failures.len(),
            stats.responses,
            stats.failures
        );
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send_gets(client: Client, stats: watch::Sender<Stats>) {
    let request = Request::get("/");
    let mut connection: Option<Connection> = None;
    while !stats.is_closed() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => client.connect().await,
        };
        match within("a response to the traffic", open.send(&request)).await {
            Ok(response) => {
                let failed = (response.status != 200)
                    .then(|| format!("{} by {}: {}", response.status, response.served_by(), response.text()));
                stats.send_modify(|stats| stats.add(response.served_by(), failed));
                connection = Some(open);
            }
            Err(error) => stats.send_modify(|stats| stats.add("", Some(format!("broken connection: {error}")))),
        }
    }
}

impl Stats {
    fn add(&mut self, server: &str, failure: Option<String>) {
        self.responses += 1;
        self.consecutive = if self.server == server { self.consecutive + 1 } else { 1 };
        server.clone_into(&mut self.server);
        self.failures.extend(failure);
    }
}
