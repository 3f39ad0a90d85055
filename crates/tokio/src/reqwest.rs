//! A client of reqwest whose requests go to one of the servers of a pool.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use reqwest::{Client, Request, Response, Url};
use tunnel_balancer_core::{
    AttemptInfo, Body, Failure, HttpClient, LocalReply, Pool, ProbeRequest, Server, UpstreamError, forward,
    keep_probing, run_probes,
};

use crate::balancer::Prober;
use crate::clock::TokioClock;
use crate::error;
use crate::failed::Failed;
use crate::own;
use crate::probes;
use crate::upstream::Upstream;

/// A client of reqwest whose requests go to one of the servers of a pool.
///
/// This crate enables no feature of reqwest. A program with `https` servers enables one for TLS,
/// such as `rustls`, in its own dependency on reqwest 0.13.
///
/// ```no_run
/// use tunnel_balancer_core::Pool;
/// use tunnel_balancer_tokio::ReqwestBalancer;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
/// let pool = Pool::of(["http://10.0.0.1:8080", "http://10.0.0.2:8080"])?;
/// let balancer = ReqwestBalancer::new(client, pool)?;
/// let response = balancer.execute(balancer.get("/rooms?id=7")?.build()?).await?;
/// println!("{}", response.text().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestBalancer(Sender);

impl ReqwestBalancer {
    /// Creates a client that sends requests through `client`. It should not follow redirects: they
    /// would leave the server that was selected.
    ///
    /// # Errors
    /// If [a setting is invalid](tunnel_balancer_core::Service::check), or a server has an address
    /// of another protocol than HTTP.
    pub fn new(client: Client, pool: impl Into<Arc<Pool>>) -> io::Result<Self> {
        let pool = pool.into();
        own::check_http(pool.service())?;
        Ok(Self(Sender { client, pool, clock: TokioClock::new() }))
    }

    /// Returns the pool, for its status and for changes at run time.
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    /// Returns the clock of the pool.
    pub const fn clock(&self) -> TokioClock {
        self.0.clock
    }

    /// Probes the servers without traffic, too, until the result is dropped. Otherwise probes run
    /// beside requests.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub fn keep_probing(&self) -> Prober {
        let sender = self.0.clone();
        Prober::spawn(async move { keep_probing(&sender.pool, &sender, &sender.clock).await })
    }

    /// Starts to build a `GET` request for a path and query. Other requests are built by a client
    /// of reqwest, with any host.
    ///
    /// # Errors
    /// If it is not a path, such as a URL.
    pub fn get(&self, path_and_query: &str) -> io::Result<reqwest::RequestBuilder> {
        if !path_and_query.starts_with('/') {
            let message = format!("expected a path such as `/rooms?id=7`, found `{path_and_query}`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // The host is that of the server of each attempt.
        Ok(self.0.client.get(["http://localhost", path_and_query].concat()))
    }

    /// Sends a request to one server, or to several in turn until one responds. The scheme and the
    /// host of its URL are ignored. A body that is a stream is sent once.
    ///
    /// # Errors
    /// If no server responded, with the attempts. A URL of more than 65,534 bytes is not sent.
    pub async fn execute(&self, request: Request) -> Result<Response, Failed> {
        let body = if request.try_clone().is_some() { Body::Replayable } else { Body::Once };
        // reqwest has no limit for the length of a URL.
        let Ok(uri) = request.url().as_str().parse() else { return Err(Failed::not_sent(LocalReply::BadRequest)) };
        let Sender { pool, clock, .. } = &self.0;
        let meta = own::meta(pool.service(), request.method(), &uri, request.headers(), body);
        let request = Outgoing { uri, request: Mutex::new(Some(request)) };
        let forwarded = forward(pool, &self.0, clock, request, meta).await;
        forwarded.response.map_err(|reply| Failed::new(reply, forwarded.failures, pool.service()))
    }
}

/// The client of the core.
#[derive(Clone, Debug)]
struct Sender {
    client: Client,
    pool: Arc<Pool>,
    clock: TokioClock,
}

/// A request that is cloned for each attempt, or is taken by the first one if it is a stream.
#[derive(Debug)]
struct Outgoing {
    uri: Uri,
    request: Mutex<Option<Request>>,
}

/// Why a request has no response.
#[derive(Debug)]
enum ReqwestError {
    /// It could not be built.
    NotSent(Failure),
    /// The client failed.
    Client(reqwest::Error),
}

impl UpstreamError for ReqwestError {
    fn failure(&self) -> Failure {
        match self {
            Self::NotSent(failure) => *failure,
            Self::Client(error) if error.is_timeout() && !error.is_connect() => Failure::Timeout,
            Self::Client(error) => error::failure(error),
        }
    }

    fn detail(&self) -> Option<String> {
        let Self::Client(error) = self else { return None };
        Some(error::cause(error).unwrap_or_else(|| error::describe(error)))
    }
}

impl HttpClient for Sender {
    type Request = Outgoing;
    type Response = Response;
    type Error = ReqwestError;

    async fn send(&self, outgoing: &Outgoing, server: &Server, _: AttemptInfo) -> Result<Response, ReqwestError> {
        let request = {
            let mut request = outgoing.request.lock().unwrap_or_else(PoisonError::into_inner);
            request.as_ref().and_then(Request::try_clone).or_else(|| request.take())
        };
        let mut request = request.ok_or(ReqwestError::NotSent(Failure::InvalidRequest))?;
        let uri = own::prepare(self.pool.service(), server, &outgoing.uri, request.headers_mut());
        let uri = uri.map_err(ReqwestError::NotSent)?;
        *request.url_mut() = url(&uri.to_string())?;
        self.client.execute(request).await.map_err(ReqwestError::Client)
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Response, ReqwestError> {
        let mut request = Request::new(probe.method, url(&probe.url)?);
        for (name, value) in probe.headers {
            let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value));
            if let (Ok(name), Ok(value)) = (name, value) {
                request.headers_mut().insert(name, value);
            }
        }
        self.client.execute(request).await.map_err(ReqwestError::Client)
    }

    async fn connect(&self, _: &Server, address: &str) -> Result<(), Failure> {
        Upstream::connect(address).await.map_err(|error| error.failure())
    }

    fn start_probes(&self) {
        probes::start(&self.pool, &self.clock, |lease| {
            let client = self.clone();
            async move { run_probes(&client.pool, &client, &client.clock, lease).await }
        });
    }

    fn status(&self, response: &Response) -> StatusCode {
        response.status()
    }

    fn header(&self, response: &Response, name: &str) -> Option<String> {
        Some(response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    async fn read_prefix(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, ReqwestError> {
        let mut prefix = Vec::new();
        while prefix.len() < limit
            && let Some(chunk) = response.chunk().await.map_err(ReqwestError::Client)?
        {
            prefix.extend_from_slice(&chunk);
        }
        prefix.truncate(limit);
        Ok(prefix)
    }

    fn discard(&self, response: Response) {
        drop(response);
    }
}

fn url(text: &str) -> Result<Url, ReqwestError> {
    text.parse().map_err(|_| ReqwestError::NotSent(Failure::InvalidRequest))
}
