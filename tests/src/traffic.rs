//! A visitor who never stops clicking: GETs without pause on one connection, each checked.
//!
//! Cases about failover change the servers under this traffic and wait for what it sees, for
//! example "ten answers in a row by replica"; at the end no request may have failed.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Client, Connection, Request};
use crate::within;

/// Running traffic. Ends when dropped.
pub struct Traffic {
    seen: watch::Receiver<Stats>,
    task: JoinHandle<()>,
}

/// What the traffic has seen.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Answers so far.
    pub answers: usize,
    /// What was not a 200: a description each.
    pub failures: Vec<String>,
    /// Who served the last answer.
    pub server: String,
    /// How many answers in a row it served.
    pub in_a_row: usize,
}

impl Traffic {
    /// Starts GETs for `/`.
    pub fn start(client: &Client) -> Self {
        let client = *client;
        let (sender, seen) = watch::channel(Stats::default());
        Self { seen, task: tokio::spawn(visit(client, sender)) }
    }

    /// Waits until `server` has served `count` answers in a row, the ones to come, not those of
    /// before.
    pub async fn served_by(&mut self, server: &str, count: usize) {
        let before = self.seen.borrow_and_update().answers;
        let wait = self
            .seen
            .wait_for(|tally| tally.server == server && tally.in_a_row >= count && tally.answers >= before + count);
        let waited = tokio::time::timeout(crate::PATIENCE, wait).await.is_ok();
        assert!(waited, "no {count} answers in a row by {server}; seen: {:?}", self.seen.borrow());
    }

    /// Stops and checks that no request failed.
    pub async fn ends_without_failure(self) {
        self.task.abort();
        let tally = self.seen.borrow().clone();
        assert!(
            tally.failures.is_empty(),
            "{} of {} failed: {:?}",
            tally.failures.len(),
            tally.answers,
            tally.failures
        );
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn visit(client: Client, tally: watch::Sender<Stats>) {
    let request = Request::get("/");
    let mut connection: Option<Connection> = None;
    while !tally.is_closed() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => client.connect().await,
        };
        match within("an answer to the steady traffic", open.send(&request)).await {
            Ok(response) => {
                let failed = (response.status != 200)
                    .then(|| format!("{} by {}: {}", response.status, response.served_by(), response.text()));
                tally.send_modify(|tally| tally.add(response.served_by(), failed));
                connection = Some(open);
            }
            Err(error) => tally.send_modify(|tally| tally.add("", Some(format!("broken connection: {error}")))),
        }
    }
}

impl Stats {
    fn add(&mut self, server: &str, failure: Option<String>) {
        self.answers += 1;
        self.in_a_row = if self.server == server { self.in_a_row + 1 } else { 1 };
        server.clone_into(&mut self.server);
        self.failures.extend(failure);
    }
}
