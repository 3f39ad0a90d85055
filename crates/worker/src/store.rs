//! Where isolates exchange the shared document: a cache, Workers KV or the Durable Object.

use std::time::Duration;

use tunnel_balancer_core::PoolState;
use tunnel_balancer_state::{Inbox, MonitorRecord, SIGNATURE_HEADER, json};
use worker::js_sys::{Object, Reflect, encode_uri_component};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::DurableObjectNamespace;
use worker::{Env, web_sys};

use crate::error::Result;
use crate::pending::value_of;
use crate::{query_of, runtime};

/// A store of the shared document, which is JSON.
pub(crate) trait Store {
    /// The oldest fact that readers use.
    const MAX_AGE: Duration;

    /// Returns the document. `None` if there is none.
    async fn read(&self) -> Result<Option<String>>;

    /// Adds the facts of this isolate. Returns the document with them, if it holds more.
    async fn report(&self, facts: String) -> Result<Option<String>>;
}

/// The cache of the data center. Every isolate of it reads and writes.
#[derive(Debug)]
pub(crate) struct Colo;

/// Workers KV. Only the cron trigger, operators and the endpoint of the monitor write.
#[derive(Debug)]
pub(crate) struct Kv<'e>(&'e Env);

/// The Durable Object. Its document is kept in the cache of the data center, so that the number of
/// isolates does not matter.
#[derive(Debug)]
pub(crate) struct Monitor<'e>(&'e Env);

/// The name of the only object.
const OBJECT: &str = "monitor";

impl Store for Colo {
    const MAX_AGE: Duration = PoolState::MAX_FACT_AGE;

    async fn read(&self) -> Result<Option<String>> {
        read_cache("colo").await
    }

    async fn report(&self, facts: String) -> Result<Option<String>> {
        write_cache("colo", &facts, PoolState::MAX_FACT_AGE.as_secs()).await.map(|()| None)
    }
}

impl Colo {
    /// Returns the messages that the isolates of the data center received.
    pub(crate) async fn inbox(&self) -> Result<Inbox> {
        let inbox = read_cache("inbox").await?;
        Ok(inbox.and_then(|inbox| json::from_str(&inbox).ok()).unwrap_or_default())
    }

    /// Stores the messages for as long as they can be repeated.
    pub(crate) async fn set_inbox(&self, inbox: &Inbox) -> Result<()> {
        write_cache("inbox", &serde_json::to_string(inbox)?, 2 * Inbox::MAX_AGE_MS / 1000).await
    }
}

impl<'e> Kv<'e> {
    /// The binding of the namespace.
    const BINDING: &'static str = "HEALTH";

    /// The key of the document.
    const KEY: &'static str = "health";

    /// How long a data center keeps the document. Workers KV allows no shorter time.
    pub(crate) const CACHE_TTL: Duration = Duration::from_secs(30);

    pub(crate) const fn new(env: &'e Env) -> Self {
        Self(env)
    }

    /// Returns whether there is a namespace.
    pub(crate) fn is_bound(env: &Env) -> bool {
        runtime::binding(env, Self::BINDING).is_some()
    }

    /// Returns the record, uncached. An empty one if there is none that can be read.
    pub(crate) async fn record(&self) -> Result<MonitorRecord> {
        let document = self.get(&JsValue::UNDEFINED).await?;
        Ok(document.and_then(|document| json::from_str(&document).ok()).unwrap_or_default())
    }

    /// Returns the record in JSON for the status page; an empty one if there is none.
    pub(crate) async fn history(&self) -> Result<String> {
        let read = async { Ok(self.read().await?.unwrap_or_else(|| "{}".to_owned())) };
        cached("kv", Self::CACHE_TTL, read).await
    }

    /// Writes the record. The caller has recorded the write in its budget.
    pub(crate) async fn write(&self, record: &MonitorRecord) -> Result<()> {
        let document = serde_json::to_string(record)?;
        runtime::call(&self.namespace()?, "put", &[Self::KEY.into(), document.into()]).await.map(drop)
    }

    async fn get(&self, options: &JsValue) -> Result<Option<String>> {
        let document = runtime::call(&self.namespace()?, "get", &[Self::KEY.into(), options.clone()]).await?;
        Ok(document.as_string())
    }

    fn namespace(&self) -> Result<JsValue> {
        Ok(runtime::binding(self.0, Self::BINDING).ok_or("the KV binding `HEALTH` is missing")?)
    }
}

impl Store for Kv<'_> {
    /// It is written when a state changes, so the last document may be old and still true.
    const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

    async fn read(&self) -> Result<Option<String>> {
        let options = Object::new();
        Reflect::set(&options, &"cacheTtl".into(), &Self::CACHE_TTL.as_secs_f64().into())?;
        self.get(&options).await
    }

    async fn report(&self, _: String) -> Result<Option<String>> {
        Ok(None)
    }
}

impl<'e> Monitor<'e> {
    /// The binding of the Durable Object.
    const BINDING: &'static str = "MONITOR";

    pub(crate) const fn new(env: &'e Env) -> Self {
        Self(env)
    }

    /// Passes an authorized request of an operator on.
    /// `path` is that of the control API.
    pub(crate) async fn control(&self, request: &web_sys::Request, path: &str) -> Result<web_sys::Response> {
        let url = request.url();
        let authority = url.split('/').nth(2).unwrap_or_default();
        let url = format!("https://{authority}{path}?{}", query_of(&url));
        // Method, headers and body are those of the request.
        self.fetch(&web_sys::Request::new_with_str_and_init(&url, request.unchecked_ref())?).await
    }

    /// Returns the history as a record in JSON: that of one service, or all of it.
    pub(crate) async fn history(&self, service: Option<&str>) -> Result<String> {
        let path = match service {
            Some(service) => format!("history?service={}", encode_uri_component(service)),
            None => "history".to_owned(),
        };
        cached(&path, HISTORY_KEPT, async { text(&self.send(&path, None, None).await?).await }).await
    }

    /// Passes a message of another machine on.
    pub(crate) async fn push(&self, signature: &str, body: &str) -> Result<web_sys::Response> {
        let headers = web_sys::Headers::new()?;
        headers.set(SIGNATURE_HEADER, signature)?;
        self.send("push", Some(body), Some(&headers)).await
    }

    /// Requests the document, which also makes the object check its alarms.
    pub(crate) async fn state(&self) -> Result<web_sys::Response> {
        self.send("state", None, None).await
    }

    /// Sends a request to the object: a POST if there is a body. `path` is one of
    /// [`crate::monitor`].
    async fn send(
        &self,
        path: &str,
        body: Option<&str>,
        headers: Option<&web_sys::Headers>,
    ) -> Result<web_sys::Response> {
        let init = web_sys::RequestInit::new();
        if let Some(body) = body {
            init.set_method("POST");
            init.set_body(&body.into());
        }
        if let Some(headers) = headers {
            init.set_headers(headers);
        }
        self.fetch(&web_sys::Request::new_with_str_and_init(&internal_url(path), &init)?).await
    }

    async fn fetch(&self, request: &web_sys::Request) -> Result<web_sys::Response> {
        let binding = runtime::binding(self.0, Self::BINDING).ok_or("the binding `MONITOR` is missing")?;
        let object = binding.unchecked_into::<DurableObjectNamespace>().get_by_name(OBJECT)?;
        Ok(value_of(&object.fetch_with_request(request)?).await?.unchecked_into())
    }
}

impl Store for Monitor<'_> {
    const MAX_AGE: Duration = PoolState::MAX_FACT_AGE;

    async fn read(&self) -> Result<Option<String>> {
        if let Some(document) = read_cache("monitor").await? {
            return Ok(Some(document));
        }
        let response = self.state().await?;
        let seconds = response.headers().get(KEEP_HEADER)?.and_then(|seconds| seconds.parse().ok());
        let document = text(&response).await?;
        write_cache("monitor", &document, seconds.unwrap_or(30)).await?;
        Ok(Some(document))
    }

    async fn report(&self, facts: String) -> Result<Option<String>> {
        let response = self.send("report", Some(&facts), None).await?;
        text(&response).await.map(Some)
    }
}

/// The header with the time in seconds for which a data center may keep the document of the object.
pub(crate) const KEEP_HEADER: &str = "x-keep";

async fn text(response: &web_sys::Response) -> Result<String> {
    match response.status() {
        200 => runtime::response_text(response).await,
        status => Err(format!("the monitor responded with status {status}").into()),
    }
}

/// How long the history of the object is kept for the status page. A page that is left open with
/// four services makes 23,040 requests a day, of 100,000.
const HISTORY_KEPT: Duration = Duration::from_secs(15);

/// Returns a document of the cache, or else reads it and keeps it for this time.
async fn cached(key: &str, kept: Duration, read: impl Future<Output = Result<String>>) -> Result<String> {
    if let Some(document) = read_cache(key).await? {
        return Ok(document);
    }
    let document = read.await?;
    write_cache(key, &document, kept.as_secs()).await?;
    Ok(document)
}

async fn read_cache(key: &str) -> Result<Option<String>> {
    let found = value_of(&runtime::cache()?.match_with_str(&internal_url(key))).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    runtime::response_text(found.unchecked_ref()).await.map(Some)
}

async fn write_cache(key: &str, document: &str, seconds: u64) -> Result<()> {
    let response = runtime::text_response(document, 200)?;
    response.headers().set("cache-control", &format!("max-age={seconds}"))?;
    value_of(&runtime::cache()?.put_with_str(&internal_url(key), &response)).await?;
    Ok(())
}

/// A URL that no request of a client has.
fn internal_url(path: &str) -> String {
    format!("https://tunnel-balancer.internal/{path}")
}
