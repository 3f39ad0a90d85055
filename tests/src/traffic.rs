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
        let is_served = matches!(tokio::time::timeout(crate::TIMEOUT, wait).await, Ok(Ok(_)));
        assert!(is_served, "no {count} consecutive responses of {server}; results: {:?}", self.seen.borrow());
    }

    /// Stops and checks that no request failed.
    pub fn ends_without_failure(self) {
        assert!(!self.task.is_finished(), "the traffic has ended by itself");
        let stats = self.seen.borrow();
        assert!(stats.responses > 0, "no request was sent");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns traffic that has ended, because nothing listens on its address.
    async fn ended() -> Traffic {
        let traffic = Traffic::start(&Client::new(([127, 0, 0, 1], 1).into()));
        within("the end of the traffic", async {
            while !traffic.task.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        traffic
    }

    #[tokio::test]
    #[should_panic(expected = "no 1 consecutive responses of a")]
    async fn ended_traffic_is_not_served() {
        ended().await.served_by("a", 1).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the traffic has ended by itself")]
    async fn ended_traffic_is_a_failure() {
        ended().await.ends_without_failure();
    }

    #[tokio::test]
    #[should_panic(expected = "no request was sent")]
    async fn traffic_without_requests_is_a_failure() {
        Traffic::start(&Client::new(([127, 0, 0, 1], 1).into())).ends_without_failure();
    }
}
