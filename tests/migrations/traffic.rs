//! Clients that send GETs and POSTs to the public hostname during a whole procedure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tunnel_balancer_tests::client::Connection;
use tunnel_balancer_tests::{Client, FaultyServer, Request, within};

/// The pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// Running traffic.
pub(crate) struct Traffic {
    gets: Loop,
    posts: Loop,
}

/// A client.
struct Loop {
    seen: watch::Receiver<Stats>,
    task: JoinHandle<()>,
}

/// The results of a client so far.
#[derive(Clone, Debug, Default)]
struct Stats {
    responses: usize,
    failures: Vec<String>,
    /// `X-Served-By` of the last response.
    served_by: Option<String>,
}

impl Traffic {
    /// Starts sending requests for `host` to an address.
    pub(crate) fn start(address: SocketAddr, host: &'static str) -> Self {
        let client = Client::new(address);
        Self { gets: Loop::start(client, host, "GET"), posts: Loop::start(client, host, "POST") }
    }

    /// Waits for further responses to both kinds. Returns the value of `X-Served-By`.
    pub(crate) async fn continues(&mut self) -> Option<String> {
        self.posts.continues().await;
        self.gets.continues().await
    }

    /// Stops. Checks that no request failed, and that each POST arrived once.
    pub(crate) fn ends(self, applications: &[&FaultyServer]) -> String {
        let (gets, posts) = (self.gets.end(), self.posts.end());
        let failures = [&gets.failures[..], &posts.failures[..]].concat();
        assert!(failures.is_empty(), "{} requests failed: {failures:#?}", failures.len());
        let mut arrived = BTreeMap::<String, usize>::new();
        for request in applications.iter().flat_map(|application| application.requests()) {
            if request.method == "POST" {
                *arrived.entry(request.target).or_default() += 1;
            }
        }
        let repeated: Vec<_> = arrived.iter().filter(|(_, count)| **count != 1).collect();
        assert!(repeated.is_empty(), "POSTs that arrived more than once: {repeated:?}");
        // The task may have been stopped while it waited for the last response.
        assert!(
            (posts.responses..=posts.responses + 1).contains(&arrived.len()),
            "{} of {}",
            arrived.len(),
            posts.responses
        );
        format!("{} GETs and {} POSTs, 0 failed", gets.responses, posts.responses)
    }
}

impl Loop {
    fn start(client: Client, host: &'static str, method: &'static str) -> Self {
        let (sender, seen) = watch::channel(Stats::default());
        Self { seen, task: tokio::spawn(send(client, host, method, sender)) }
    }

    async fn continues(&mut self) -> Option<String> {
        let enough = self.seen.borrow().responses + 5;
        let wait = self.seen.wait_for(|seen| seen.responses >= enough || !seen.failures.is_empty());
        let seen = within("responses to the traffic", wait).await.expect("the client runs").clone();
        assert!(seen.failures.is_empty(), "a request failed: {:?}", seen.failures);
        seen.served_by
    }

    fn end(self) -> Stats {
        assert!(!self.task.is_finished(), "the client has ended by itself");
        self.task.abort();
        self.seen.borrow().clone()
    }
}

async fn send(client: Client, host: &str, method: &str, seen: watch::Sender<Stats>) {
    let mut connection: Option<Connection> = None;
    for number in 0.. {
        let mut open = match connection.take() {
            Some(open) => open,
            None => client.connect().await,
        };
        let request = Request::new(method, &format!("/orders?number={number}")).host(host);
        let request = if method == "POST" { request.body(format!("order {number}")) } else { request };
        match within("a response to the traffic", open.send(&request)).await {
            Ok(response) => {
                let served_by = response.header("X-Served-By").map(str::to_owned);
                let failed = (response.status != 200)
                    .then(|| format!("{method} {number}: {} by {served_by:?}: {}", response.status, response.text()));
                seen.send_modify(|seen| seen.add(served_by, failed));
                connection = Some(open);
            }
            Err(error) => seen.send_modify(|seen| seen.add(None, Some(format!("{method} {number}: {error}")))),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Stats {
    fn add(&mut self, served_by: Option<String>, failure: Option<String>) {
        self.responses += 1;
        self.served_by = served_by;
        self.failures.extend(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "the client has ended by itself")]
    async fn a_refused_connection_is_a_failure() {
        let traffic = Traffic::start(([127, 0, 0, 1], 1).into(), "app.test");
        within("the end of the clients", async {
            while !traffic.gets.task.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        traffic.ends(&[]);
    }
}
