//! Workers KV as the place where health is shared, through Cloudflare's API.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, StatusCode, Uri};
use serde::Deserialize as _;
use serde_json::{Map, Value};
use tokio_util::sync::DropGuard;
use tunnel_balancer_core::Clock as _;
use tunnel_balancer_state::{KvBudget, SharedState};

use super::client::{Client, Failure, Received};
use super::contact::Contact;
use super::facts::{ClockOffset, Isolation};
use super::schedule::Schedule;
use super::time_of_day;
use crate::proxy::Proxy;

/// A namespace of Workers KV: the ids of its account and of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvNamespace {
    account: String,
    namespace: String,
}

impl FromStr for KvNamespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_id = |id: &str| id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit());
        let ids = text.split_once('/').filter(|(account, namespace)| is_id(account) && is_id(namespace));
        let (account, namespace) =
            ids.ok_or("expected the ids of the account and of the namespace, 32 digits each, with `/` between them")?;
        Ok(Self { account: account.to_owned(), namespace: namespace.to_owned() })
    }
}

/// A namespace to which a process writes, and the token that allows it.
#[derive(Clone)]
pub struct KvTarget {
    url: Uri,
    /// The value of the header.
    authorization: String,
}

impl KvTarget {
    /// The environment variable with the token.
    pub const TOKEN_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

    /// The URL of Cloudflare's API.
    pub const API: &str = "https://api.cloudflare.com/client/v4";

    /// The key of the document.
    const KEY: &str = "health";

    /// Creates a target. `api` is the URL of the API without a slash at its end.
    ///
    /// # Errors
    /// If the URL or the token is invalid.
    pub fn new(api: &str, namespace: &KvNamespace, token: &str) -> Result<Self, String> {
        let KvNamespace { account, namespace } = namespace;
        let url = format!("{api}/accounts/{account}/storage/kv/namespaces/{namespace}/values/{}", Self::KEY);
        let url = url.parse().map_err(|_| format!("invalid URL {api}"))?;
        if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!("the token {} is empty or has other characters than ASCII", Self::TOKEN_VARIABLE));
        }
        Ok(Self { url, authorization: format!("Bearer {token}") })
    }
}

impl fmt::Debug for KvTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Writes the facts of a proxy to Workers KV when the state of a server changes.
#[derive(Debug)]
pub(crate) struct KvLink {
    target: KvTarget,
    client: Client,
    proxy: Arc<Proxy>,
    sender: String,
    offset: ClockOffset,
    isolation: Isolation,
    contact: Contact,
    schedule: Schedule,
    budget: KvBudget,
    /// The facts of the last write.
    written: Option<SharedState>,
}

impl KvLink {
    /// The oldest fact of the document that is merged. It is written only when a state changes.
    const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

    /// The longest document, in bytes.
    const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// The interval at which the states are compared with those of the last write. Workers KV
    /// allows one write a second.
    const INTERVAL: Duration = Duration::from_secs(2);

    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(target: KvTarget, proxy: &Arc<Proxy>) -> io::Result<Self> {
        Ok(Self {
            target,
            client: Client::new()?,
            proxy: Arc::clone(proxy),
            sender: super::sender(),
            offset: ClockOffset::default(),
            isolation: Isolation::new(time_of_day(proxy)),
            contact: Contact::default(),
            schedule: Schedule::new(Self::INTERVAL),
            budget: KvBudget::default(),
            written: None,
        })
    }

    /// Writes without end.
    pub(crate) async fn run(mut self, first: Arc<DropGuard>) {
        let (mut transitions, mut first) = (self.proxy.transitions().subscribe(), Some(first));
        loop {
            let clock = self.proxy.clock;
            let wait = self.schedule.next_at().since(clock.now());
            tokio::select! {
                _ = transitions.recv() => self.schedule.on_transition(clock.now()),
                () = tokio::time::sleep(wait) => {
                    let result = self.share().await;
                    drop(first.take());
                    match result {
                        Ok(_) => self.schedule.on_success(clock.now(), fastrand::f64()),
                        Err(failure) => {
                            self.schedule.on_failure(clock.now(), failure.retry_after(), fastrand::f64());
                        }
                    }
                }
            }
        }
    }

    /// Merges the document, and writes it if that changes a state. Returns whether the document has
    /// the states of this process. Otherwise, the budget has to be waited for.
    pub(crate) async fn share(&mut self) -> Result<bool, Failure> {
        let facts = self.facts();
        let is_written = self.written.as_ref().is_some_and(|written| written.has_same_states(&facts));
        if is_written || !self.budget.allows(time_of_day(&self.proxy)) {
            return Ok(is_written);
        }
        let result = self.merge_and_write().await;
        self.record(result.as_ref().err());
        self.written = result?;
        Ok(self.written.is_some())
    }

    fn record(&mut self, failure: Option<&Failure>) {
        match failure {
            Some(Failure::Unreachable(_)) => self.isolation.on_unreachable(),
            _ => self.isolation.on_contact(time_of_day(&self.proxy)),
        }
        self.contact.record(failure, &self.target.url.to_string(), self.proxy.clock.now());
    }

    /// Checks that the document can be read.
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        let result = self.read().await.map(drop);
        self.record(result.as_ref().err());
        result
    }

    /// Reads the document. It is empty before the first write.
    async fn read(&self) -> Result<Map<String, Value>, Failure> {
        let received = self.send(Method::GET, Vec::new()).await?;
        match received.status {
            // Nothing was written yet. If the namespace does not exist, the write fails.
            StatusCode::NOT_FOUND => Ok(Map::new()),
            status if status.is_success() => Ok(serde_json::from_slice(&received.body).unwrap_or_default()),
            _ => Err(rejection(&received)),
        }
    }

    /// Returns the facts in the document. `None` if they were not written, because of the budget.
    async fn merge_and_write(&mut self) -> Result<Option<SharedState>, Failure> {
        let mut document = self.read().await?;
        let stored = serde_json::from_value::<SharedState>(document.clone().into()).unwrap_or_default();
        let mut merged = stored.clone();
        self.offset.to_clock(&mut merged);
        merged.merge_into(&self.proxy.services(), Self::MAX_AGE, self.proxy.clock.now());
        let facts = self.facts();
        if stored.has_same_states(&facts) {
            return Ok(Some(facts));
        }
        // The Worker may write, too.
        let budget = document.get(BUDGET).and_then(|budget| KvBudget::deserialize(budget).ok());
        self.budget = budget.unwrap_or(self.budget);
        let now = time_of_day(&self.proxy);
        if !self.budget.allows(now) {
            return Ok(None);
        }
        self.budget.record(now);
        // The map of this process may be older than that of the Worker.
        let mut all = facts.clone();
        for (service, snapshot) in stored.services {
            if !all.services.contains_key(&service) {
                all.services.insert(service, snapshot);
            }
        }
        if let Ok(Value::Object(mut all)) = serde_json::to_value(&all) {
            // The changes of operators belong to the Worker.
            all.remove("control");
            document.extend(all);
        }
        document.insert(BUDGET.to_owned(), serde_json::to_value(self.budget).unwrap_or_default());
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let received = self.send(Method::PUT, body).await?;
        if received.status.is_success() { Ok(Some(facts)) } else { Err(rejection(&received)) }
    }

    async fn send(&self, method: Method, body: Vec<u8>) -> Result<Received, Failure> {
        let secret = (AUTHORIZATION, self.target.authorization.as_str());
        self.client.send(method, &self.target.url, secret, ("application/octet-stream", body), Self::MAX_BYTES).await
    }

    fn facts(&mut self) -> SharedState {
        let now = self.proxy.clock.now();
        self.offset.update(now, time_of_day(&self.proxy));
        let mut state = SharedState::export(&self.proxy.services(), &self.sender, now);
        self.offset.to_time_of_day(&mut state);
        self.isolation.hide_own_failures(&mut state);
        state
    }
}

/// The key of the document with the budget of its writes.
const BUDGET: &str = "kv_budget";

fn rejection(received: &Received) -> Failure {
    let error: Option<Value> = serde_json::from_slice(&received.body).ok();
    let error = error.as_ref().and_then(|error| error.get("errors")?.get(0));
    let message = error.and_then(|error| Some(format!("{} ({})", error["message"].as_str()?, error["code"])));
    received.rejection(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "0123456789abcdef0123456789abcdef/fedcba9876543210fedcba9876543210";

    #[test]
    fn a_namespace_has_two_ids() {
        assert!(IDS.parse::<KvNamespace>().is_ok());
        let id = &IDS[..32];
        for text in ["", "/", id, &format!("{id}/"), &format!("{id}/{id}/"), &format!("{id}/../{id}"), "a/b"] {
            assert!(text.parse::<KvNamespace>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_token_is_not_printed() {
        let namespace = IDS.parse().unwrap();
        let target = KvTarget::new(KvTarget::API, &namespace, "a-token").unwrap();
        assert!(!format!("{target:?}").contains("a-token"));
        let path = "/client/v4/accounts/0123456789abcdef0123456789abcdef/storage/kv/namespaces/\
                    fedcba9876543210fedcba9876543210/values/health";
        assert_eq!(target.url.path(), path);
        for token in ["", "two\nlines", "a b", "\u{e9}"] {
            assert!(KvTarget::new(KvTarget::API, &namespace, token).is_err(), "{token}");
        }
    }
}
